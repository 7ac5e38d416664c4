import type { Caller, Role } from '../access/caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { quoted } from '../domain/quoted.ts';
import type { Identity } from './identity.ts';

/** Where admins act: see the setting. */
export type AdminReach = 'their-project' | 'any-project';

/** Of the roles that an identity has in its own project, it acts in the first one of these. */
const byReach = ['admin', 'member', 'reader'] as const satisfies readonly Role[];

/** The names of projects that are taken: text that shows, without blanks. */
const projectName = /^[\x21-\x7e]{1,255}$/;

/** Whether a text can name a project. */
export function isProjectName(text: string): boolean {
  return projectName.test(text);
}

/**
 * As whom an identity makes a call: in its own project with the role that reaches furthest, or as a service in the project
 * that the call names; or as an admin there, where admins act in any.
 *
 * @param named the project that the call names; undefined if it names none.
 * @throws DarkroomError PROJECT_NOT_ALLOWED, ROLE_INSUFFICIENT
 */
export function actingCaller(
  { userId, projectId, ofNoProject, roles }: Identity,
  named: string | undefined,
  adminsActIn: AdminReach = 'their-project',
): Caller {
  if (ofNoProject !== undefined) {
    throw new DarkroomError(
      'PROJECT_NOT_ALLOWED',
      `the caller may not act for any project: ${ofNoProject}; get one of a project`,
    );
  }
  const own = byReach.find((role) => roles.includes(role));
  const isService = roles.includes('service');
  const anywhere = own === 'admin' && adminsActIn === 'any-project' && { actsAnywhere: true };
  if (named === undefined || named === projectId) {
    if (projectId !== undefined && own !== undefined) {
      return { projectId, userId, role: own, ...anywhere };
    }
    if (named !== undefined && isService) {
      return { projectId: named, userId, role: 'service' };
    }
    throw isService ? projectMissing() : roleMissing(projectId);
  }
  if (anywhere && isProjectName(named)) {
    return { projectId: named, userId, role: 'admin', ...anywhere };
  }
  if (!isService || !isProjectName(named)) {
    throw new DarkroomError(
      'PROJECT_NOT_ALLOWED',
      `the caller may not act for the project ${quoted(named)}: ` +
        (isService
          ? 'no project has such a name'
          : 'only a service may name another project than its own in x-darkroom-project'),
    );
  }
  return { projectId: named, userId, role: 'service' };
}

function projectMissing(): DarkroomError {
  return new DarkroomError(
    'PROJECT_NOT_ALLOWED',
    'a service has to say for which project it acts: name it in the header x-darkroom-project',
  );
}

function roleMissing(projectId: string | undefined): DarkroomError {
  return new DarkroomError(
    'ROLE_INSUFFICIENT',
    projectId === undefined
      ? 'the credential names no project; have who issues it name one'
      : 'the credential has none of the roles reader, member, admin and service; have who issues it give one',
  );
}
