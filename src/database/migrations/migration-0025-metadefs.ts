import { Migration } from '@mikro-orm/migrations';

const project = `current_setting('darkroom.project', true)`;

/** What a project sees of each table, as migration 0015 has it of the others. */
const seen = {
  metadef_namespaces: `
    (project_id = ${project}) is true or visibility = 'PUBLIC' and ${project} <> ''`,
  // Only of namespaces that are seen.
  metadef_entries: `
    exists (select from metadef_namespaces
             where metadef_namespaces.id = metadef_entries.namespace_id offset 0)`,
} as const;

/** Metadata definitions: what images and other resources may be told to have, for consoles and command lines. */
export class Migration0025Metadefs extends Migration {
  override up(): void {
    this.addSql(`
      create table metadef_namespaces (
        id uuid primary key,
        project_id text not null check (char_length(project_id) between 1 and 255),
        namespace text not null check (char_length(namespace) between 1 and 80),
        display_name text check (char_length(display_name) <= 80),
        description text check (char_length(description) <= 500),
        visibility text not null check (visibility in ('PUBLIC', 'PRIVATE')),
        protected boolean not null,
        create_time timestamptz(3) not null,
        update_time timestamptz(3) not null,
        constraint metadef_namespaces_namespace unique (namespace)
      )`);
    this.addSql(`create index metadef_namespaces_by_project on metadef_namespaces (project_id)`);
    this.addSql(`
      create index metadef_namespaces_public on metadef_namespaces (create_time)
        where visibility = 'PUBLIC'`);
    // Not jsonb: what is said keeps its order.
    this.addSql(`
      create table metadef_entries (
        id uuid primary key,
        namespace_id uuid not null references metadef_namespaces on delete cascade,
        kind text not null check (kind in ('OBJECT', 'PROPERTY', 'TAG', 'RESOURCE_TYPE')),
        name text not null check (char_length(name) between 1 and 80),
        content json not null,
        create_time timestamptz(3) not null,
        update_time timestamptz(3) not null,
        constraint metadef_entries_name unique (namespace_id, kind, name)
      )`);
    this.addSql(`
      create index metadef_entries_by_resource_type on metadef_entries (name, namespace_id)
        where kind = 'RESOURCE_TYPE'`);
    for (const table of Object.keys(seen)) {
      this.addSql(`alter table ${table} enable row level security`);
      this.addSql(`create policy ${table}_to_all on ${table} using (true)`);
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
          grant select on ${Object.keys(seen).join(', ')} to darkroom_tenant;
        end if;
      end $$`);
  }

  override down(): void {
    this.addSql('drop table metadef_entries, metadef_namespaces');
  }
}
