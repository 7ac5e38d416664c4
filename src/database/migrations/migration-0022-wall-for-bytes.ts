import { Migration } from '@mikro-orm/migrations';

const project = `current_setting('darkroom.project', true)`;

/** What a project sees of the tables that tell where bytes are. Nothing of it is asked of an index, as in migration 0015. */
const seen = {
  blobs: `
    (project_id = ${project}) is true
    or exists (select from images where images.blob_id = blobs.id offset 0)`,
  // Of its tasks, as before, and of what it sees.
  blob_segments: `
    exists (select from tasks where tasks.blob_id = blob_segments.blob_id offset 0)
    or exists (select from blobs where blobs.id = blob_segments.blob_id offset 0)`,
} as const;

/** Functions that run as another user than who calls them, and by what they are known. */
const definers = {
  images_for_project: 'uuid, text',
  tasks_for_project: 'uuid, text',
  own_task: 'uuid, text',
  own_image: 'uuid, text',
  image_is_own: 'uuid',
} as const;

/**
 * The second wall for places of bytes and for what is told of quotas. And each function that runs as another user finds its
 * tables in one schema alone: what is in a caller's temporary one, or in one that is named as a user, would else be taken for them.
 */
export class Migration0022WallForBytes extends Migration {
  override up(): void {
    this.addSql('alter table blobs enable row level security');
    this.addSql('create policy blobs_to_all on blobs using (true)');
    this.addSql(`
      do $$
      begin
        if not exists (select from pg_roles where rolname = 'darkroom_tenant') then
          return;
        end if;
        drop policy if exists blob_segments_of_project on blob_segments;
        ${Object.entries(seen)
          .map(
            ([table, condition]) => `
        create policy ${table}_of_project on ${table} as restrictive for select to darkroom_tenant
          using (${condition});`,
          )
          .join('')}
        if pg_has_role(current_user, 'darkroom_tenant', 'member') then
          grant select on blobs to darkroom_tenant;
        end if;
      end $$`);
    for (const [name, types] of Object.entries(definers)) {
      this.addSql(`
        do $$
        begin
          execute format('alter function ${name}(${types}) set search_path = %I, pg_temp', current_schema());
        end $$`);
    }
  }

  override down(): void {
    for (const [name, types] of Object.entries(definers)) {
      this.addSql(
        name.startsWith('own_')
          ? `alter function ${name}(${types}) reset search_path`
          : `alter function ${name}(${types}) set search_path from current`,
      );
    }
    this.addSql('drop policy blobs_to_all on blobs');
    this.addSql('drop policy if exists blobs_of_project on blobs');
    this.addSql('alter table blobs disable row level security');
    this.addSql(`
      do $$
      begin
        if exists (select from pg_roles where rolname = 'darkroom_tenant') then
          drop policy if exists blob_segments_of_project on blob_segments;
          create policy blob_segments_of_project on blob_segments as restrictive for select to darkroom_tenant
            using (exists (select from tasks where tasks.blob_id = blob_segments.blob_id offset 0));
          revoke all on blobs from darkroom_tenant;
        end if;
      end $$`);
  }
}
