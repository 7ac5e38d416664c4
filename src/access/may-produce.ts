import type { Caller } from './caller.ts';
import type { Task } from '../records/task.ts';

/**
 * Whether a caller may speak for the producer of a task's bytes: upload them, and report its progress
 * and faults. For now everybody in the task's project may.
 */
export function mayProduce(caller: Caller, task: Readonly<Task>): boolean {
  return caller.projectId === task.projectId;
}
