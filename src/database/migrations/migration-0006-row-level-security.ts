import { Migration } from '@mikro-orm/migrations';

/** What a project sees of each table; `(select …)` is asked once a statement, and not for each row. */
const project = `(select current_setting('darkroom.project', true))`;
const seen: Readonly<Record<string, string>> = {
  tasks: `project_id = ${project}`,
  faults: `project_id = ${project}`,
  image_members: `member_project_id = ${project}`,
  images: `
    project_id = ${project} or state <> 'DELETED' and (
      visibility in ('PUBLIC', 'COMMUNITY') or visibility = 'SHARED' and exists (
        select from image_members where image_members.image_id = images.id))`,
};

/**
 * The second wall between projects: rows are read by these functions as a role that owns nothing, may only read, and to
 * which PostgreSQL itself shows what the project may see that it reads for.
 *
 * Where the database's user may not make a role, the functions run as that user, for whom there is no such wall.
 */
export class Migration0006RowLevelSecurity extends Migration {
  override up(): void {
    // Roles are of the whole cluster: another database may have made it, even just now.
    this.addSql(`
      do $$
      begin
        if not exists (select from pg_roles where rolname = 'darkroom_tenant') then
          create role darkroom_tenant nologin noinherit;
        end if;
        if not pg_has_role(current_user, 'darkroom_tenant', 'member') then
          execute format('grant darkroom_tenant to %I', current_user);
        end if;
      exception
        when duplicate_object or unique_violation then null;
        when insufficient_privilege then
          raise warning 'no role darkroom_tenant: rows of projects are kept apart by the statements alone';
      end $$`);
    for (const [table, condition] of Object.entries(seen)) {
      this.addSql(`alter table ${table} enable row level security`);
      // Whoever else may read the table, such as for reports, goes on to see all of it; its owner does anyway.
      this.addSql(`
        create policy ${table}_of_project on ${table}
          using (current_user <> 'darkroom_tenant' or (${condition}))`);
    }
    for (const table of ['images', 'tasks']) {
      this.addSql(`
        create function ${table}_for_project(asked_id uuid, asked_project text) returns setof ${table}
          language plpgsql security definer set search_path from current as $$
        declare
          setting text;
        begin
          setting := set_config('darkroom.project', asked_project, true);
          return query select * from ${table} where ${table}.id = asked_id;
          setting := set_config('darkroom.project', '', true);
        end $$`);
    }
    this.addSql(`
      do $$
      begin
        if pg_has_role(current_user, 'darkroom_tenant', 'member') then
          execute format('grant usage on schema %I to darkroom_tenant', current_schema());
          execute format('grant create on schema %I to darkroom_tenant', current_schema());
          grant select on images, tasks, faults, image_members to darkroom_tenant;
          alter function images_for_project owner to darkroom_tenant;
          alter function tasks_for_project owner to darkroom_tenant;
          execute format('revoke create on schema %I from darkroom_tenant', current_schema());
          revoke execute on function images_for_project, tasks_for_project from public;
          execute format(
            'grant execute on function images_for_project, tasks_for_project to %I', current_user);
        end if;
      exception
        when undefined_object then null;
      end $$`);
  }

  override down(): void {
    this.addSql('drop function images_for_project, tasks_for_project');
    for (const table of Object.keys(seen)) {
      this.addSql(`drop policy ${table}_of_project on ${table}`);
      this.addSql(`alter table ${table} disable row level security`);
    }
    this.addSql(`
      do $$
      begin
        if exists (select from pg_roles where rolname = 'darkroom_tenant') then
          revoke all on images, tasks, faults, image_members from darkroom_tenant;
          execute format('revoke all on schema %I from darkroom_tenant', current_schema());
        end if;
      end $$`);
  }
}
