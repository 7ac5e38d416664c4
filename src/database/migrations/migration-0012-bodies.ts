import { Migration } from '@mikro-orm/migrations';

/**
 * Uploads whose stream has no frames: what its sender said of the whole before the first byte, and bytes that wait for an
 * import to make them the image.
 */
export class Migration0012Bodies extends Migration {
  override up(): void {
    this.addSql(`
      alter table tasks
        add column announced_size bigint check (announced_size >= 0),
        add column is_staging boolean not null default false,
        add column staged_size bigint,
        add constraint tasks_staged_is_committed check (staged_size between 0 and committed_size)`);
  }

  override down(): void {
    this.addSql(`
      alter table tasks
        drop column announced_size, drop column is_staging, drop column staged_size`);
  }
}
