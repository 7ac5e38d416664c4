import { Batch } from '../database/batch.ts';
import type { Database } from '../database/database.ts';
import { unitsLeft, type UnitsLeft } from '../database/quota-exceeded.ts';
import { jsonRows } from '../database/entity-rows.ts';
import { Blob } from '../records/blob.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { ImageId } from '../records/ids.ts';
import { Image } from '../records/image.ts';
import { TaskEvent } from '../records/task-event.ts';
import { Task } from '../records/task.ts';
import type { CollectedRows } from '../tasks/ledger/ledger-rows.ts';

/** Images of one statement. */
const maxBatch = 64;

/** The time; undefined for a request id that is taken; or the quota that is exceeded. */
type Insertion = Date | undefined | DarkroomError;

const insertions = new WeakMap<Database, Batch<CollectedRows, Insertion>>();

/**
 * Writes an image and its first task, in one statement for all who do so at the same time: a transaction of its own
 * took 7 statements, and its commit waited for that of everybody else, since PostgreSQL commits what notifies one
 * after the other. With 16 callers that was all that could be made: one image a sync.
 *
 * The times of all rows are the database's: whatever they hold is exchanged for it.
 *
 * @param first an image, its task, and what that begins with.
 * @returns that time; nothing is written, and the answer is undefined, if there is an image with this request id; or
 *   QUOTA_EXCEEDED, if the project has room for none.
 * @throws the driver's errors.
 */
export function insertImage(database: Database, first: CollectedRows): Promise<Insertion> {
  let batch = insertions.get(database);
  if (batch === undefined) {
    batch = batchOf(database);
    insertions.set(database, batch);
  }
  return batch.add(first);
}

function batchOf(database: Database): Batch<CollectedRows, Insertion> {
  const image = jsonRows(database, Image);
  const task = jsonRows(database, Task);
  const event = jsonRows(database, TaskEvent);
  const blob = jsonRows(database, Blob);
  const timesOf: Readonly<Record<string, string>> = {
    create_time: 'clock.now',
    update_time: 'clock.now',
    expire_time: `clock.now + idle_timeout_ms * interval '1 ms'`,
  };
  const select = ({ columns }: { readonly columns: readonly string[] }): string =>
    columns.map((column) => timesOf[column] ?? `new.${column}`).join(', ');
  // Requests with the same id wait for each other in one order, so that they never do so in a circle.
  const text = `
    with clock as materialized (
      select clock_timestamp()::timestamptz(3) as now
    ), new_image as (
      insert into images (${image.columns.join(', ')})
      select ${select(image)} from json_populate_recordset(null::images, $1) as new, clock
       order by new.request_id
          on conflict (project_id, request_id) where request_id is not null do nothing
      returning id, latest_task_id
    ), new_task as (
      insert into tasks (${task.columns.join(', ')})
      select ${select(task)} from json_populate_recordset(null::tasks, $2) as new, clock
       where new.image_id in (select id from new_image)
      returning id, blob_id
    ), new_event as (
      insert into task_events (${event.columns.join(', ')})
      select ${select(event)} from json_populate_recordset(null::task_events, $3) as new, clock
       where new.task_id in (select id from new_task)
    ), new_blob as (
      insert into blobs (${blob.columns.join(', ')})
      select ${select(blob)} from json_populate_recordset(null::blobs, $4) as new, clock
       where new.id in (select blob_id from new_task)
    )
    select new_image.id, clock.now from new_image, clock`;
  const insert = async (all: readonly CollectedRows[]): Promise<Map<ImageId, Date>> => {
    const { rows } = await database.run<{ id: ImageId; now: string }>({
      name: 'create images',
      text,
      values: [
        JSON.stringify(all.flatMap((first) => first.of(Image).map(image.rowOf))),
        JSON.stringify(all.flatMap((first) => first.of(Task).map(task.rowOf))),
        JSON.stringify(all.flatMap((first) => first.of(TaskEvent).map(event.rowOf))),
        JSON.stringify(all.flatMap((first) => first.of(Blob).map(blob.rowOf))),
      ],
    });
    return new Map(rows.map(({ id, now }) => [id, new Date(now)]));
  };
  return new Batch(async (all) => {
    const refused = new Map<CollectedRows, DarkroomError>();
    for (;;) {
      const admitted = all.filter((first) => !refused.has(first));
      try {
        const times = admitted.length > 0 ? await insert(admitted) : new Map<ImageId, Date>();
        return all.map(
          (first) => refused.get(first) ?? first.of(Image).map(({ id }) => times.get(id))[0],
        );
      } catch (error) {
        const left = error instanceof DarkroomError ? unitsLeft(error) : undefined;
        const over = left === undefined ? [] : beyond(admitted, left);
        if (left === undefined || over.length === 0) {
          throw error;
        }
        over.forEach((first) => refused.set(first, left.refusal));
      }
    }
  }, maxBatch);
}

/** Those of a project for which it has no room, so that the others are made at once. */
function beyond(
  admitted: readonly CollectedRows[],
  { projectId, count }: UnitsLeft,
): CollectedRows[] {
  return admitted
    .filter((first) => first.of(Image).some((image) => image.projectId === projectId))
    .slice(count);
}
