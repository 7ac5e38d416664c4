import type { Caller } from './caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { FieldChecks } from '../domain/field-checks.ts';
import { quoted } from '../domain/quoted.ts';
import { checkProjectId } from '../records/field-limits.ts';

/**
 * In whose name something is made: in the caller's own project, or, for an admin who acts in any, in another.
 *
 * @param projectId empty for the caller's.
 * @param what is made, for people: `an image`.
 * @throws DarkroomError FIELD_INVALID, PROJECT_NOT_ALLOWED
 */
export function makerFor(caller: Caller, projectId: string, what: string): Caller {
  if (projectId === '' || projectId === caller.projectId) {
    return caller;
  }
  const checks = new FieldChecks();
  checkProjectId(checks, 'project_id', projectId);
  checks.settle({});
  if (caller.actsAnywhere !== true) {
    throw new DarkroomError(
      'PROJECT_NOT_ALLOWED',
      `the caller may not make ${what} for the project ${quoted(projectId)}: that takes an admin, of a service whose admins ` +
        'act in any project (DARKROOM_ADMINS_ACT_IN)',
    );
  }
  return { ...caller, projectId };
}
