import { Migration } from '@mikro-orm/migrations';

/**
 * Runs before migration 0006, which makes the role `darkroom_tenant`. From PostgreSQL 16 on a user who may make roles, and is
 * no superuser, is a member of those that he makes but may not become them until he says so: he could not start.
 */
export class Migration0017RoleOfItsMaker extends Migration {
  override up(): void {
    this.addSql(`
      do $$
      begin
        if current_setting('server_version_num')::int >= 160000 then
          if not exists (select from pg_roles where rolname = 'darkroom_tenant') then
            create role darkroom_tenant nologin noinherit;
          end if;
          if not pg_has_role(current_user, 'darkroom_tenant', 'set') then
            execute format('grant darkroom_tenant to %I', current_user);
          end if;
        end if;
      exception
        -- Another database of the cluster may just have made it; of what may not be done the next one tells.
        when duplicate_object or unique_violation or insufficient_privilege then null;
      end $$`);
  }

  override down(): void {}
}
