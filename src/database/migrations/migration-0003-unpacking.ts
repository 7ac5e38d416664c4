import { Migration } from '@mikro-orm/migrations';

/** Images that are what was inside of the compressed bytes that came. */
export class Migration0003Unpacking extends Migration {
  override up(): void {
    this.addSql(`
      alter table tasks
        add column decompress boolean not null default false,
        add column unpacked_size bigint not null default 0,
        add constraint tasks_unpacked_within_committed check (
          unpacked_size between 0 and committed_size),
        drop constraint tasks_phase_check,
        add constraint tasks_phase_check check (
          phase in ('WAITING_FOR_DATA', 'RECEIVING', 'FETCHING', 'VERIFYING', 'UNPACKING', 'PUBLISHING'))`);
    // Of what came, where that is not what is stored.
    this.addSql(`
      alter table images
        add column packed_format text check (packed_format in ('gzip', 'xz', 'zstd', 'bzip2')),
        add column packed_size_bytes bigint check (packed_size_bytes >= 0),
        add column packed_sha256 text check (packed_sha256 ~ '^[0-9a-f]{64}$'),
        add constraint images_packed_is_whole check (
          (packed_format is null) = (packed_size_bytes is null)
          and (packed_format is null) = (packed_sha256 is null))`);
    // A blob into which another one is unpacked is its task's only while that epoch's writer is attached:
    // whatever ends the writer leaves the blob to the repair.
    this.addSql(`
      alter table blobs
        add column unpacking_task_id uuid,
        add column unpacking_epoch bigint,
        add constraint blobs_unpacking_is_whole check (
          (unpacking_task_id is null) = (unpacking_epoch is null))`);
  }

  override down(): void {
    this.addSql('alter table blobs drop column unpacking_task_id, drop column unpacking_epoch');
    this.addSql(`
      alter table images
        drop column packed_format, drop column packed_size_bytes, drop column packed_sha256`);
    this.addSql(`update tasks set phase = 'VERIFYING' where phase = 'UNPACKING'`);
    this.addSql(`
      alter table tasks
        drop column decompress,
        drop column unpacked_size,
        drop constraint tasks_phase_check,
        add constraint tasks_phase_check check (
          phase in ('WAITING_FOR_DATA', 'RECEIVING', 'FETCHING', 'VERIFYING', 'PUBLISHING'))`);
  }
}
