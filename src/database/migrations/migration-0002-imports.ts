import { Migration } from '@mikro-orm/migrations';

/** What the service fetches itself. */
export class Migration0002Imports extends Migration {
  override up(): void {
    this.addSql(`
      alter table tasks
        add column source text,
        add column expected_sha512 text check (expected_sha512 ~ '^[0-9a-f]{128}$')`);
    // What to fetch, and how far the tries are. Of the image, since every attempt at it has the same source.
    this.addSql(`
      create table import_orders (
        image_id uuid primary key references images deferrable initially deferred,
        url text,
        source_image_id uuid,
        headers jsonb not null,
        max_size bigint check (max_size >= 0),
        validator text,
        source_size bigint check (source_size >= 0),
        tries integer not null default 0 check (tries >= 0),
        next_try_time timestamptz(3) not null,
        constraint import_orders_have_one_source check ((url is null) <> (source_image_id is null))
      )`);
    // For the workers: imports that nobody fetches just now.
    this.addSql(`
      create index tasks_to_import on tasks (project_id, create_time)
        where type = 'IMPORT' and state in ('PENDING', 'RUNNING') and writer_process_id is null`);
  }

  override down(): void {
    this.addSql('drop table import_orders');
    this.addSql('drop index tasks_to_import');
    this.addSql('alter table tasks drop column source, drop column expected_sha512');
  }
}
