import { Migration } from '@mikro-orm/migrations';

const project = `current_setting('darkroom.project', true)`;

/** What a project sees of the tables that a change is decided by. */
const seen = {
  // Only those of its tasks: whose else they are is not known of them.
  blob_segments: `
    exists (select from tasks where tasks.blob_id = blob_segments.blob_id offset 0)`,
  project_quotas: `(project_id = ${project}) is true`,
} as const;

/**
 * The second wall for changes: what a caller's change is decided by is read behind it, and what is locked for one is found behind
 * it, by a function within the statement that locks.
 */
export class Migration0016WallForChanges extends Migration {
  override up(): void {
    // Of all projects, since there is a limit for all of them: who writes, and of whom. A view reads as its owner.
    this.addSql(`
      create view writing_tasks as
        select project_id, type, writer_process_id from tasks where writer_process_id is not null`);
    for (const table of Object.keys(seen)) {
      this.addSql(`alter table ${table} enable row level security`);
      this.addSql(`create policy ${table}_to_all on ${table} using (true)`);
    }
    for (const [name, condition] of [
      ['own_task', 'tasks where id = asked_id'],
      // Others see images, too, but do not change them.
      ['own_image', 'images where id = asked_id and project_id = asked_project'],
    ] as const) {
      this.addSql(`
        create function ${name}(asked_id uuid, asked_project text) returns uuid
          language plpgsql security definer as $$
        begin
          perform set_config('darkroom.project', asked_project, true);
          return (select id from ${condition});
        end $$`);
    }
    this.addSql(`
      do $$
      begin
        if not exists (select from pg_roles where rolname = 'darkroom_tenant') then
          return;
        end if;
        ${Object.entries(seen)
          .map(
            ([table, condition]) => `
        create policy ${table}_of_project on ${table} as restrictive for select to darkroom_tenant
          using (${condition});`,
          )
          .join('')}
        if pg_has_role(current_user, 'darkroom_tenant', 'member') then
          grant select on writing_tasks, blob_segments, project_quotas, processes to darkroom_tenant;
          execute format('grant create on schema %I to darkroom_tenant', current_schema());
          alter function own_task owner to darkroom_tenant;
          alter function own_image owner to darkroom_tenant;
          execute format('revoke create on schema %I from darkroom_tenant', current_schema());
          revoke execute on function own_task, own_image from public;
          execute format('grant execute on function own_task, own_image to %I', current_user);
        end if;
      end $$`);
  }

  override down(): void {
    this.addSql('drop function own_task, own_image');
    for (const table of Object.keys(seen)) {
      this.addSql(`drop policy ${table}_to_all on ${table}`);
      this.addSql(`drop policy if exists ${table}_of_project on ${table}`);
      this.addSql(`alter table ${table} disable row level security`);
    }
    this.addSql('drop view writing_tasks');
    this.addSql(`
      do $$
      begin
        if exists (select from pg_roles where rolname = 'darkroom_tenant') then
          revoke all on blob_segments, project_quotas, processes from darkroom_tenant;
        end if;
      end $$`);
  }
}
