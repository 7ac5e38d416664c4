import type { Fault } from '../records/fault.ts';
import type { Image } from '../records/image.ts';
import type { Task } from '../records/task.ts';
import type { Caller } from './caller.ts';

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

/** Whether a record that was read by other means than a query of its caller's may be told to the caller. */
export function maySee(caller: Caller, record: Readonly<Owned>): boolean {
  return record.projectId === visibleProject(caller);
}

/**
 * Whether a caller may speak for the producer of a task's bytes: upload them, and report its progress
 * and faults. For now everybody in the task's project may.
 */
export function mayProduce(caller: Caller, task: Readonly<Task>): boolean {
  return caller.projectId === task.projectId;
}

/** Whether a caller is told the causes of faults, which may name hosts, paths and addresses of the service. */
export function maySeeDetail(caller: Caller): boolean {
  return caller.role === 'admin';
}
