import type { EntityManager } from '@mikro-orm/postgresql';
import { ownId } from '../../database/own-id.ts';
import type { TaskId } from '../../records/ids.ts';
import { Image } from '../../records/image.ts';
import { columnNames, type RawRow } from '../../database/entity-rows.ts';
import { Task } from '../../records/task.ts';

/** What to do about a lock that somebody else holds. */
export type Locking = 'wait' | 'skip locked';

/** A task and its image, locked until the transaction ends. */
export interface LockedTask {
  readonly task: Task;
  readonly image: Image;
  /** The database's time when both locks were held, in ms precision. */
  readonly now: Date;
}

/**
 * Locks an image and then its task, in one round trip, where a read of each and of the clock took four: a
 * small image's upload locks its task twice. Undefined if there is no such task in the project, or if
 * somebody else holds a lock that is not to be waited for.
 *
 * The image's lock is taken where the common table expression is read, so before the task's; whatever was
 * changed while a lock was waited for is read as it is then (PostgreSQL's READ COMMITTED). For a project the task is found
 * behind the second wall.
 *
 * @param projectId undefined for any, for the service itself.
 */
export async function lockTask(
  em: EntityManager,
  taskId: TaskId,
  projectId: string | undefined,
  locking: Locking,
): Promise<LockedTask | undefined> {
  const columns = (columnsOf.images ??= readColumns(em));
  const suffix = locking === 'wait' ? '' : 'skip locked';
  const [isAsked, asked] =
    projectId === undefined
      ? ['id = ?', [taskId]]
      : [`id = ${ownId('task', '?', '?')} and project_id = ?`, [taskId, projectId, projectId]];
  const rows: RawRow[] = await em.execute(
    `select locked.*, clock_timestamp()::timestamptz(3) as now
       from (with image as materialized (
                  select * from images
                   where id = (select image_id from tasks where ${isAsked})
                     for update ${suffix})
             select ${columns.select}
               from image join tasks as task on task.id = ? and task.image_id = image.id
                for update of task ${suffix}) as locked`,
    [...asked, taskId],
  );
  const [row] = rows;
  return (
    row && {
      image: em.map(Image, columns.image(row)),
      task: em.map(Task, columns.task(row)),
      now: new Date(String(row['now'])),
    }
  );
}

interface LockedColumns {
  readonly select: string;
  readonly image: (row: RawRow) => RawRow;
  readonly task: (row: RawRow) => RawRow;
}

/** The same for all databases. */
const columnsOf: { images?: LockedColumns } = {};

function readColumns(em: EntityManager): LockedColumns {
  const images = columnNames(em, Image);
  const tasks = columnNames(em, Task);
  return {
    select: [
      ...images.map((name) => `image.${name} as image_${name}`),
      ...tasks.map((name) => `task.${name} as task_${name}`),
    ].join(', '),
    image: (row) => Object.fromEntries(images.map((name) => [name, row[`image_${name}`]])),
    task: (row) => Object.fromEntries(tasks.map((name) => [name, row[`task_${name}`]])),
  };
}
