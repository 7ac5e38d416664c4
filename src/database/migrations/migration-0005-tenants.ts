import { Migration } from '@mikro-orm/migrations';

/** Images that other projects see, and those that must not be deleted. */
export class Migration0005Tenants extends Migration {
  override up(): void {
    this.addSql('alter table images add column protected boolean not null default false');
    // Whom an image is shared with. It counts while the image is SHARED, and is kept while it is not.
    this.addSql(`
      create table image_members (
        image_id uuid not null references images deferrable initially deferred,
        member_project_id text not null check (char_length(member_project_id) between 1 and 255),
        status text not null check (status in ('PENDING', 'ACCEPTED', 'REJECTED')),
        version bigint not null default 1 check (version > 0),
        create_time timestamptz(3) not null,
        update_time timestamptz(3) not null,
        primary key (image_id, member_project_id)
      )`);
    // For the lists of the projects that images are shared with.
    this.addSql(`
      create index image_members_by_project on image_members (member_project_id, status, image_id)`);
    // As those of one project's images, for what every project sees: one for each order of ListImages.
    for (const [order, columns] of [
      ['create_time', 'create_time, id'],
      ['update_time', 'update_time, id'],
      ['name', 'name collate "C", id'],
      ['size', 'coalesce(size_bytes, -1) desc, id desc'],
    ] as const) {
      this.addSql(`
        create index images_open_by_${order} on images (visibility, state, ${columns})
          where visibility in ('COMMUNITY', 'PUBLIC')`);
    }
  }

  override down(): void {
    for (const order of ['create_time', 'update_time', 'name', 'size']) {
      this.addSql(`drop index images_open_by_${order}`);
    }
    this.addSql('drop table image_members');
    this.addSql('alter table images drop column protected');
  }
}
