import type { Database } from '../database/database.ts';
import { retryWhileDatabaseIsAway } from '../database/database-patience.ts';
import type { WriterLease } from '../uploads/lease/writer-lease.ts';
import type { ImportCourse } from './import-course.ts';

/** Records how an import goes, for the next try and for those who watch. */
export class ImportNotes {
  readonly #database: Database;
  readonly #lease: WriterLease;
  #noted = '';

  constructor(database: Database, lease: WriterLease) {
    this.#database = database;
    this.#lease = lease;
  }

  /**
   * Records what the source has said, and by which road its bytes come; once, while neither changes. What
   * is stored is of the version that is recorded: it is to be called before the first byte of another one
   * is taken. Does nothing for a writer that was superseded.
   */
  async take({ validator, toldSize }: ImportCourse, road: string): Promise<void> {
    const news = JSON.stringify([validator, toldSize, road.replaceAll(/\d+/g, '')]);
    if (news !== this.#noted) {
      await retryWhileDatabaseIsAway(() => this.#record(validator, toldSize, road));
      this.#noted = news;
    }
  }

  async #record(validator: string | null, toldSize: number | null, road: string): Promise<void> {
    const { taskId, epoch, processId } = this.#lease;
    await this.#database.run({
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
      values: [taskId, epoch, processId, road, validator, toldSize],
    });
  }
}
