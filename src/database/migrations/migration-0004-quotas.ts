import { Migration } from '@mikro-orm/migrations';

/**
 * What each project uses, counted in the transaction of the change by triggers, whoever makes it. Only where a limit
 * is set: a project without a row in project_quotas takes a shared lock in memory and one look, and writes nothing.
 *
 * The row of a project is the last that a transaction locks, after images, tasks and blobs.
 */
export class Migration0004Quotas extends Migration {
  override up(): void {
    const limits = (suffix: string): string =>
      ['stored_bytes', 'in_flight_bytes', 'images', 'live_tasks', 'uploads', 'imports']
        .map((name) => `max_${name} bigint ${suffix} check (max_${name} >= -1)`)
        .join(', ');
    // The limits of projects for which no other is set; -1 is none. Written at each start.
    this.addSql(`
      create table quota_defaults (
        only_one boolean primary key default true check (only_one),
        ${limits('not null default -1')}
      )`);
    this.addSql('insert into quota_defaults default values');
    // A null limit is the default's.
    this.addSql(`
      create table project_quotas (
        project_id text primary key,
        ${limits('')},
        stored_bytes bigint not null,
        in_flight_bytes bigint not null,
        images bigint not null,
        live_tasks bigint not null,
        version bigint not null default 0,
        update_time timestamptz(3) not null default now()
      )`);
    this.addSql('alter table blobs add column project_id text');
    this.addSql(`
      create index blobs_by_project on blobs (project_id) where state <> 'DELETING'`);
    this.addSql(`
      create function quota_adopt_blobs() returns void language sql as $$
        update blobs b
           set project_id = coalesce(
                 (select project_id from images where blob_id = b.id),
                 (select project_id from tasks where blob_id = b.id),
                 (select project_id from tasks where id = b.unpacking_task_id))
         where b.project_id is null and b.state <> 'DELETING'
      $$`);
    // 'quot' in ASCII. Whoever changes what is counted shares it; whoever begins to count holds it alone.
    this.addSql(`
      create function quota_lock_key() returns integer immutable language sql as $$ select 1903521652 $$`);
    this.addSql(`
      create function quota_truth(project text)
        returns table (stored_bytes bigint, in_flight_bytes bigint, images bigint, live_tasks bigint)
        stable language sql as $$
        select (select coalesce(sum(s.stored_bytes), 0)::bigint
                  from blobs b join blob_segments s on s.blob_id = b.id
                 where b.project_id = project and b.state <> 'DELETING'),
               (select coalesce(sum(t.stored_bytes), 0)::bigint from tasks t
                 where t.project_id = project and t.state in ('PENDING', 'RUNNING')),
               (select count(*) from images i where i.project_id = project and i.state in ('QUEUED', 'ACTIVE')),
               (select count(*) from tasks t where t.project_id = project and t.state in ('PENDING', 'RUNNING'))
      $$`);
    this.addSql(`
      create function quota_check(project text, quota text, used bigint, added bigint, allowed bigint)
        returns void language plpgsql as $$
      begin
        if added > 0 and allowed >= 0 and used + added > allowed then
          raise exception 'the quota % of project % is exceeded', quota, project
            using errcode = 'QX001', detail = json_build_object(
              'project', project, 'quota', quota, 'used', used, 'limit', allowed, 'requested', added)::text;
        end if;
      end $$`);
    // announced: bytes that are said to come, and are looked at but not counted.
    this.addSql(`
      create function quota_count(
        project text, more_stored bigint, more_in_flight bigint, more_images bigint, more_tasks bigint,
        announced bigint) returns void language plpgsql as $$
      declare
        own project_quotas;
        other quota_defaults;
      begin
        perform pg_advisory_xact_lock_shared(quota_lock_key(), hashtext(project));
        update project_quotas q
           set stored_bytes = q.stored_bytes + more_stored, in_flight_bytes = q.in_flight_bytes + more_in_flight,
               images = q.images + more_images, live_tasks = q.live_tasks + more_tasks
         where q.project_id = project
        returning * into own;
        if not found then
          return;
        end if;
        select * into other from quota_defaults;
        perform quota_check(project, 'images', own.images - more_images, more_images,
                            coalesce(own.max_images, other.max_images));
        perform quota_check(project, 'live_tasks', own.live_tasks - more_tasks, more_tasks,
                            coalesce(own.max_live_tasks, other.max_live_tasks));
        perform quota_check(project, 'stored_bytes', own.stored_bytes - more_stored, more_stored + announced,
                            coalesce(own.max_stored_bytes, other.max_stored_bytes));
        perform quota_check(project, 'in_flight_bytes', own.in_flight_bytes - more_in_flight,
                            more_in_flight + announced,
                            coalesce(own.max_in_flight_bytes, other.max_in_flight_bytes));
      end $$`);

    this.addSql(`
      create function quota_images_added() returns trigger language plpgsql as $$
      begin
        perform quota_count(project_id, 0, 0, n, 0, 0)
           from (select project_id, count(*) as n from added where state <> 'DELETED'
                  group by project_id order by project_id) as by_project;
        return null;
      end $$`);
    this.addSql(`
      create trigger quota_images_added after insert on images
        referencing new table as added for each statement execute function quota_images_added()`);
    this.addSql(`
      create function quota_image_changed() returns trigger language plpgsql as $$
      begin
        if tg_op = 'DELETE' then
          perform quota_count(old.project_id, 0, 0, -1, 0, 0);
        else
          perform quota_count(new.project_id, 0, 0, case new.state when 'DELETED' then -1 else 1 end, 0, 0);
        end if;
        return null;
      end $$`);
    this.addSql(`
      create trigger quota_image_changed after update on images for each row
        when ((old.state = 'DELETED') <> (new.state = 'DELETED')) execute function quota_image_changed()`);
    this.addSql(`
      create trigger quota_image_removed after delete on images for each row
        when (old.state <> 'DELETED') execute function quota_image_changed()`);

    this.addSql(`
      create function quota_tasks_added() returns trigger language plpgsql as $$
      begin
        perform quota_count(project_id, 0, bytes, 0, n, announced)
           from (select project_id, count(*) as n, sum(stored_bytes)::bigint as bytes,
                        max(greatest(coalesce(expected_size, 0) - committed_size, 0)) as announced
                   from added where state in ('PENDING', 'RUNNING')
                  group by project_id order by project_id) as by_project;
        return null;
      end $$`);
    this.addSql(`
      create trigger quota_tasks_added after insert on tasks
        referencing new table as added for each statement execute function quota_tasks_added()`);
    this.addSql(`
      create function quota_task_changed() returns trigger language plpgsql as $$
      declare
        was integer := case when old.state in ('PENDING', 'RUNNING') then 1 else 0 end;
        is_now integer := 0;
        bytes_now bigint := 0;
      begin
        if tg_op = 'UPDATE' then
          is_now := case when new.state in ('PENDING', 'RUNNING') then 1 else 0 end;
          bytes_now := is_now * new.stored_bytes;
        end if;
        perform quota_count(old.project_id, 0, bytes_now - was * old.stored_bytes, 0, is_now - was, 0);
        return null;
      end $$`);
    this.addSql(`
      create trigger quota_task_changed after update on tasks for each row
        when (old.stored_bytes <> new.stored_bytes
              or (old.state in ('PENDING', 'RUNNING')) <> (new.state in ('PENDING', 'RUNNING')))
        execute function quota_task_changed()`);
    this.addSql(`
      create trigger quota_task_removed after delete on tasks for each row
        when (old.state in ('PENDING', 'RUNNING')) execute function quota_task_changed()`);

    this.addSql(`
      create function quota_segment_changed() returns trigger language plpgsql as $$
      declare
        owner text;
        more bigint := 0;
      begin
        if tg_op <> 'DELETE' then
          more := new.stored_bytes;
        end if;
        if tg_op <> 'INSERT' then
          more := more - old.stored_bytes;
        end if;
        select project_id into owner from blobs
         where id = case tg_op when 'DELETE' then old.blob_id else new.blob_id end and state <> 'DELETING';
        if owner is not null then
          perform quota_count(owner, more, 0, 0, 0, 0);
        end if;
        return null;
      end $$`);
    this.addSql(`
      create trigger quota_segment_added after insert on blob_segments for each row
        when (new.stored_bytes > 0) execute function quota_segment_changed()`);
    this.addSql(`
      create trigger quota_segment_changed after update on blob_segments for each row
        when (new.stored_bytes <> old.stored_bytes) execute function quota_segment_changed()`);
    this.addSql(`
      create trigger quota_segment_removed after delete on blob_segments for each row
        when (old.stored_bytes > 0) execute function quota_segment_changed()`);
    this.addSql(`
      create function quota_blob_released() returns trigger language plpgsql as $$
      declare
        bytes bigint;
      begin
        select sum(stored_bytes) into bytes from blob_segments where blob_id = new.id;
        if bytes > 0 then
          perform quota_count(new.project_id, -bytes, 0, 0, 0, 0);
        end if;
        return null;
      end $$`);
    this.addSql(`
      create trigger quota_blob_released after update on blobs for each row
        when (old.state <> 'DELETING' and new.state = 'DELETING' and new.project_id is not null)
        execute function quota_blob_released()`);
    this.addSql('select quota_adopt_blobs()');
  }

  override down(): void {
    for (const [table, triggers] of Object.entries({
      images: ['images_added', 'image_changed', 'image_removed'],
      tasks: ['tasks_added', 'task_changed', 'task_removed'],
      blob_segments: ['segment_added', 'segment_changed', 'segment_removed'],
      blobs: ['blob_released'],
    })) {
      for (const trigger of triggers) {
        this.addSql(`drop trigger quota_${trigger} on ${table}`);
      }
    }
    this.addSql(`
      drop function quota_images_added, quota_image_changed, quota_tasks_added, quota_task_changed,
        quota_segment_changed, quota_blob_released, quota_count, quota_check, quota_truth, quota_lock_key,
        quota_adopt_blobs`);
    this.addSql('drop table project_quotas, quota_defaults');
    this.addSql('alter table blobs drop column project_id');
  }
}
