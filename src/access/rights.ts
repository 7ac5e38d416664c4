import type { Fault } from '../records/fault.ts';
import type { Image } from '../records/image.ts';
import type { Task } from '../records/task.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { Caller, Role } from './caller.ts';

/**
 * On which records a caller may do what its role allows it (policy.ts): every question of the kind is asked here, and
 * nowhere else. Records that a caller may not see are to it as if they were not there.
 */

/** Anything that belongs to a project. */
type Owned = Pick<Image | Task | Fault, 'projectId'>;

/** The project whose records a caller's queries find; part of the condition of each of them. */
export function visibleProject(caller: Caller): string {
  return caller.projectId;
}

/**
 * Whether a record belongs to the caller's project. Tasks, faults and events are told to nobody else, and an image is
 * changed by nobody else; who sees an image besides is said by `imageIsSeen`.
 */
export function isOwn(caller: Caller, record: Readonly<Owned>): boolean {
  return record.projectId === visibleProject(caller);
}

/** SQL: whether a row of `table` belongs to a project. @param project SQL of the project. */
export function isOwnSql(table: string, project: string): string {
  return `${table}.project_id = ${project}`;
}

/**
 * SQL: whether a row of `images` is seen by a project: its own in any state; of others, while they are not deleted,
 * what is PUBLIC or COMMUNITY, and what is SHARED with it, whether or not it has accepted that.
 *
 * @param project SQL of the project.
 */
export function imageIsSeen(project: string): string {
  return `(${isOwnSql('images', project)} or images.state <> 'DELETED' and (
    images.visibility in ('PUBLIC', 'COMMUNITY') or images.visibility = 'SHARED' and exists (
      select from image_members
       where image_members.image_id = images.id and image_members.member_project_id = ${project})))`;
}

/**
 * SQL: whether a row of `metadef_namespaces` is seen by a project: its own, and what is PUBLIC.
 *
 * @param project SQL of the project.
 */
export function metadefIsSeen(project: string): string {
  return `(${isOwnSql('metadef_namespaces', project)} or metadef_namespaces.visibility = 'PUBLIC')`;
}

/**
 * Whether a caller may speak for the producer of a task's bytes: upload them, and report its progress
 * and faults. For now everybody in the task's project may.
 */
export function mayProduce(caller: Caller, task: Readonly<Task>): boolean {
  return caller.projectId === task.projectId;
}

/** Whether a caller who sees an image may have its bytes: of one that is deactivated, admins alone. */
export function mayReadBytes(caller: Caller, image: Readonly<Pick<Image, 'deactivated'>>): boolean {
  return !image.deactivated || caller.role === 'admin';
}

/** Whether a caller is told the causes of faults, which may name hosts, paths and addresses of the service. */
export function maySeeDetail(caller: Caller): boolean {
  return caller.role === 'admin';
}

/**
 * Makes sure that a caller has one of the roles that a part of a call is for, besides those of the call itself.
 *
 * @param what for people: `making an image PUBLIC`.
 * @throws DarkroomError ROLE_INSUFFICIENT
 */
export function requireRole(caller: Caller, roles: readonly Role[], what: string): void {
  if (!roles.includes(caller.role)) {
    const allowed = roles.join(', ');
    throw new DarkroomError(
      'ROLE_INSUFFICIENT',
      `${what} is for the roles ${allowed}, and the caller is a ${caller.role}`,
      { metadata: { role: caller.role, allowed_roles: allowed } },
    );
  }
}
