import { Migration } from '@mikro-orm/migrations';

/** Further keys by which images are sorted, each as `sortColumns` in src/images/image-order.ts has it. */
const sortKeys = [
  ['id', 'id'],
  ['status', `((case when deactivated then 'deactivated' else lower(state) end) collate "C"), id`],
  ['disk_format', `(coalesce(disk_format, '') collate "C"), id`],
  ['container_format', `(coalesce(container_format, '') collate "C"), id`],
] as const;

/** Lists by each key that the Image API sorts by, and by each field that it filters by, are read from an index. */
export class Migration0024ListKeys extends Migration {
  override up(): void {
    for (const [key, columns] of sortKeys) {
      this.addSql(`create index images_sorted_by_${key} on images (project_id, state, ${columns})`);
      this.addSql(`
        create index images_open_by_${key} on images (visibility, state, ${columns})
          where visibility in ('COMMUNITY', 'PUBLIC')`);
    }
    // For lists of what is rare: they cost nothing for all that is not in them.
    this.addSql(`
      create index images_expected on images (project_id, state, create_time, id)
        where outlook = 'EXPECTED'`);
    for (const amount of ['min_disk', 'min_ram']) {
      this.addSql(`
        create index images_by_${amount} on images (project_id, state, ${amount}_bytes)
          where ${amount}_bytes > 0`);
    }
    this.addSql('create index images_by_sha256 on images using hash (sha256)');
  }

  override down(): void {
    for (const [key] of sortKeys) {
      this.addSql(`drop index images_sorted_by_${key}`);
      this.addSql(`drop index images_open_by_${key}`);
    }
    for (const name of ['expected', 'by_min_disk', 'by_min_ram', 'by_sha256']) {
      this.addSql(`drop index images_${name}`);
    }
  }
}
