import { Migration } from '@mikro-orm/migrations';

/**
 * For whom is read. Looked at for each row, for a statement reads for many projects one after the other, each row after it
 * has said for whom.
 */
const project = `current_setting('darkroom.project', true)`;

/**
 * What a project sees of each table. None of it can be asked of an index, as `is true` and `or` see to: PostgreSQL does not
 * know the project when it makes its plan, and took an index of projects for the one of ids. And no subquery is read
 * once for all rows, as `offset 0` sees to: a table of hashes would be that of the first project.
 */
const seen = {
  tasks: `(project_id = ${project}) is true`,
  faults: `(project_id = ${project}) is true`,
  // Only of tasks that are seen.
  task_events: `exists (select from tasks where tasks.id = task_events.task_id offset 0)`,
  image_members: `member_project_id = ${project} or image_is_own(image_id)`,
  images: `
    project_id = ${project} or state <> 'DELETED' and ${project} <> '' and (
      visibility in ('PUBLIC', 'COMMUNITY') or visibility = 'SHARED' and exists (
        select from image_members
         where image_members.image_id = images.id and member_project_id = ${project} offset 0))`,
} as const;

const tables = Object.keys(seen);

/**
 * The second wall for all reads: connections whose role is `darkroom_tenant` say in each statement for which projects it
 * reads, and are shown by these policies what those see. They are looked at without entering any function.
 *
 * As the policies before they hold for that role alone, and whoever else may read the tables sees all of them.
 */
export class Migration0015WallForReads extends Migration {
  override up(): void {
    for (const table of tables.filter((one) => one !== 'task_events')) {
      this.addSql(`drop policy ${table}_of_project on ${table}`);
    }
    this.addSql('alter table task_events enable row level security');
    for (const table of tables) {
      this.addSql(`create policy ${table}_to_all on ${table} using (true)`);
    }
    // Runs as the owner of the tables: the policy of images looks at image_members, and must not be looked at from there.
    this.addSql(`
      create function image_is_own(asked_id uuid) returns boolean
        language sql stable security definer set search_path from current
        return exists (select from images where id = asked_id and project_id = ${project})`);
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
          grant select on task_events to darkroom_tenant;
          grant execute on function image_is_own to darkroom_tenant;
        end if;
      end $$`);
    this.addSql('revoke execute on function image_is_own from public');
  }

  override down(): void {
    for (const table of tables) {
      this.addSql(`drop policy ${table}_to_all on ${table}`);
      this.addSql(`drop policy if exists ${table}_of_project on ${table}`);
    }
    this.addSql('drop function image_is_own');
    this.addSql('alter table task_events disable row level security');
    // As migration 0006 had them.
    for (const [table, condition] of Object.entries(seen)) {
      if (table !== 'task_events') {
        this.addSql(`
          create policy ${table}_of_project on ${table}
            using (current_user <> 'darkroom_tenant' or (${condition.replaceAll(' or image_is_own(image_id)', '')}))`);
      }
    }
  }
}
