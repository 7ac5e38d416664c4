import { Migration } from '@mikro-orm/migrations';

/** What an import sends to its source, encrypted. Rows of earlier versions are sealed by the repair. */
export class Migration0007SealedOrders extends Migration {
  override up(): void {
    this.addSql('alter table import_orders add column sealed text');
  }

  override down(): void {
    this.addSql('alter table import_orders drop column sealed');
  }
}
