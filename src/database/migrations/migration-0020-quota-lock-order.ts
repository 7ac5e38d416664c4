import { Migration } from '@mikro-orm/migrations';

/**
 * Whoever changes what is counted of several projects in one statement locks them first, in one order: triggers go by the
 * rows as they come, and two statements would wait for each other in a circle.
 */
export class Migration0020QuotaLockOrder extends Migration {
  override up(): void {
    // As quota_count does it, so that whoever begins to count a project comes before or after both.
    this.addSql(`
      create function quota_lock(projects text[]) returns void language plpgsql as $$
      declare
        project text;
      begin
        for project in select distinct named from unnest(projects) as named order by named loop
          perform pg_advisory_xact_lock_shared(quota_lock_key(), hashtext(project));
          perform from project_quotas where project_id = project for no key update;
        end loop;
      end $$`);
  }

  override down(): void {
    this.addSql('drop function quota_lock');
  }
}
