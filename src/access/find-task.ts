import type { Database } from '../database/database.ts';
import { rowsForProject } from '../database/rows-for-project.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { TaskId } from '../records/ids.ts';
import { Task } from '../records/task.ts';
import type { Caller } from './caller.ts';
import { isOwnSql, visibleProject } from './rights.ts';

/**
 * Reads a task that the caller may see, together with what others read just then; not tracked by any unit of work.
 *
 * @throws DarkroomError TASK_NOT_FOUND, for another project's as for one that does not exist.
 */
export async function readTask(
  database: Database,
  caller: Caller,
  id: TaskId,
): Promise<Readonly<Task>> {
  const tasks = rowsForProject(database, Task, isOwnSql('tasks', 'asked_project'));
  return (await tasks.read(visibleProject(caller), id)) ?? throwNotFound(id);
}

/** The error for a task that is not there, or is another project's. */
export function taskNotFound(taskId: TaskId): DarkroomError {
  return new DarkroomError('TASK_NOT_FOUND', `There is no task ${taskId} in this project.`);
}

function throwNotFound(id: TaskId): never {
  throw taskNotFound(id);
}
