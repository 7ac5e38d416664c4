import type { Database } from '../database/database.ts';
import type { WriterLease } from '../uploads/lease/writer-lease.ts';
import type { OpenedSource } from './http-source.ts';
import type { ImportOrder } from '../records/import-order.ts';

/**
 * The validator of the version that all stored bytes are of; null where that is not known. What is stored
 * of a source that told no version may be of another one than it has now, also while it is being compared.
 */
function validatorOfStored(
  order: ImportOrder,
  { committedSize }: WriterLease,
  source: OpenedSource,
): string | null {
  const known = order.validator ?? null;
  if (committedSize === 0) {
    return source.validator ?? null;
  }
  const isSameVersion = source.start === committedSize || source.validator === known;
  return isSameVersion ? known : null;
}

/**
 * Records what a source said of itself, for the next try and for those who watch: before the first byte of
 * it is committed, so that what is stored is always of the version that is recorded. Does nothing for a
 * writer that was superseded.
 */
export async function noteSource(
  database: Database,
  order: ImportOrder,
  lease: WriterLease,
  source: OpenedSource,
): Promise<void> {
  const { committedSize } = lease;
  const isAgain = committedSize > 0 && source.start === 0;
  const message =
    committedSize === 0
      ? `Fetching ${source.name}`
      : isAgain
        ? `Reading ${source.name} again from its beginning, since it cannot go on in the middle; the first ` +
          `${committedSize} bytes are compared`
        : `Going on at byte ${committedSize} of ${source.name}`;
  await database.run({
    name: 'note-source',
    text: `
      with fenced as (
        update tasks
        set message = $4, reported_bytes_total = $6, update_time = now(),
            expire_time = now() + idle_timeout_ms * interval '1 ms'
        where id = $1 and writer_epoch = $2 and writer_process_id = $3 and state = 'RUNNING'
        returning image_id
      )
      update import_orders
      set validator = $5, source_size = $6
      where image_id = (select image_id from fenced)`,
    values: [
      lease.taskId,
      lease.epoch,
      lease.processId,
      message,
      validatorOfStored(order, lease, source),
      source.size ?? order.sourceSize ?? null,
    ],
  });
}
