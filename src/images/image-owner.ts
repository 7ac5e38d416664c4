import type { Caller } from '../access/caller.ts';
import { requireRole } from '../access/rights.ts';
import { FieldChecks } from '../domain/field-checks.ts';
import { checkProjectId } from '../records/field-limits.ts';

/**
 * In whose name an image is made: in the caller's own project, or, for an admin, in any. It is then seen by the caller as
 * any image of that project.
 *
 * @param projectId empty for the caller's.
 * @throws DarkroomError FIELD_INVALID, ROLE_INSUFFICIENT
 */
export function makerFor(caller: Caller, projectId: string): Caller {
  if (projectId === '' || projectId === caller.projectId) {
    return caller;
  }
  const checks = new FieldChecks();
  checkProjectId(checks, 'project_id', projectId);
  checks.settle({});
  requireRole(caller, ['admin'], 'making an image for another project');
  return { ...caller, projectId };
}
