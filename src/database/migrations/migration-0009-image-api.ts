import { Migration } from '@mikro-orm/migrations';

/** What OpenStack's Image API knows of an image besides: no name, no format yet, hidden, deactivated, an id that was given. */
export class Migration0009ImageApi extends Migration {
  override up(): void {
    // An older process that runs beside this one writes both, and a name.
    this.addSql('alter table images alter column disk_format drop not null');
    this.addSql('alter table images alter column container_format drop not null');
    this.addSql(`
      alter table images add constraint images_active_has_formats check (
        state <> 'ACTIVE' or (disk_format is not null and container_format is not null))`);
    this.addSql('alter table images drop constraint images_name_check');
    this.addSql(`
      alter table images add constraint images_name_check check (char_length(name) <= 255)`);
    this.addSql('alter table images add column hidden boolean not null default false');
    this.addSql('alter table images add column deactivated boolean not null default false');
    this.addSql(`
      alter table images add constraint images_deactivated_was_active check (
        not deactivated or state <> 'QUEUED')`);
    // An image that was made with an id of its maker's is known again by that, without a request id.
    this.addSql('alter table images drop constraint images_request_has_digest');
    this.addSql(`
      alter table images add constraint images_request_has_digest check (
        request_id is null or request_digest is not null)`);
    // For lists of what is rare: they cost nothing for all that is not in them.
    for (const [name, condition] of [
      ['hidden', 'hidden'],
      ['protected', 'protected'],
      ['deactivated', 'deactivated'],
    ] as const) {
      this.addSql(`
        create index images_${name} on images (project_id, state, create_time, id) where ${condition}`);
    }
    this.addSql(`
      create index images_by_container_format on images (project_id, container_format)
        where container_format <> 'BARE'`);
  }

  override down(): void {
    for (const name of ['hidden', 'protected', 'deactivated', 'by_container_format']) {
      this.addSql(`drop index images_${name}`);
    }
    this.addSql('alter table images drop constraint images_request_has_digest');
    this.addSql(`
      update images set request_digest = null where request_id is null and request_digest is not null`);
    this.addSql(`
      alter table images add constraint images_request_has_digest check (
        (request_id is null) = (request_digest is null))`);
    this.addSql('alter table images drop constraint images_deactivated_was_active');
    this.addSql('alter table images drop column deactivated, drop column hidden');
    this.addSql('alter table images drop constraint images_name_check');
    this.addSql(`update images set name = 'image' where name = ''`);
    this.addSql(`
      alter table images add constraint images_name_check check (char_length(name) between 1 and 255)`);
    this.addSql('alter table images drop constraint images_active_has_formats');
    this.addSql(`update images set disk_format = 'RAW' where disk_format is null`);
    this.addSql(`update images set container_format = 'BARE' where container_format is null`);
    this.addSql('alter table images alter column disk_format set not null');
    this.addSql('alter table images alter column container_format set not null');
  }
}
