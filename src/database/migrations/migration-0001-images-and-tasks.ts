import { Migration } from '@mikro-orm/migrations';

/**
 * The tables, with the contract's rules as constraints. Times have ms precision, as in JavaScript,
 * so that a time read and sent back in a page token compares as equal.
 */
export class Migration0001ImagesAndTasks extends Migration {
  override up(): void {
    this.addSql(`
      create table blobs (
        id uuid primary key,
        state text not null check (state in ('STAGED', 'PUBLISHED', 'DELETING')),
        create_time timestamptz(3) not null default now(),
        update_time timestamptz(3) not null default now()
      )`);
    // For the sweeper, which collects what is to be deleted.
    this.addSql(`create index blobs_deleting on blobs (update_time) where state = 'DELETING'`);

    this.addSql(`
      create table blob_segments (
        id uuid primary key,
        blob_id uuid not null references blobs deferrable initially deferred,
        start_offset bigint not null check (start_offset >= 0),
        length bigint not null default 0 check (length >= 0),
        stored_bytes bigint not null default 0 check (stored_bytes between 0 and length),
        writer_epoch bigint not null check (writer_epoch > 0),
        create_time timestamptz(3) not null default now(),
        unique (blob_id, writer_epoch)
      )`);
    // Two segments with bytes never begin at the same place. Also reads a blob in its order.
    this.addSql(`
      create unique index blob_segments_order on blob_segments (blob_id, start_offset) where length > 0`);
    // For the repair, which removes what writers without a committed byte left.
    this.addSql(`create index blob_segments_empty on blob_segments (blob_id) where length = 0`);

    this.addSql(`
      create table images (
        id uuid primary key,
        project_id text not null,
        created_by text not null,
        name text not null check (char_length(name) between 1 and 255),
        disk_format text not null,
        container_format text not null,
        state text not null check (state in ('QUEUED', 'ACTIVE', 'DELETED')),
        outlook text not null check (outlook in ('EXPECTED', 'AVAILABLE', 'NOT_COMING')),
        size_bytes bigint check (size_bytes >= 0),
        virtual_size_bytes bigint check (virtual_size_bytes >= 0),
        sha256 text check (sha256 ~ '^[0-9a-f]{64}$'),
        min_disk_bytes bigint not null check (min_disk_bytes >= 0),
        min_ram_bytes bigint not null check (min_ram_bytes >= 0),
        properties jsonb not null,
        tags text[] not null,
        visibility text not null check (visibility in ('PRIVATE', 'SHARED', 'COMMUNITY', 'PUBLIC')),
        blob_id uuid unique deferrable initially deferred references blobs deferrable initially deferred,
        latest_task_id uuid,
        last_fault_id uuid,
        request_id text,
        request_digest text,
        version bigint not null default 1 check (version > 0),
        create_time timestamptz(3) not null,
        update_time timestamptz(3) not null,
        delete_time timestamptz(3),
        constraint images_active_is_whole check (
          (state = 'ACTIVE') = (blob_id is not null)
          and (state <> 'ACTIVE' or (size_bytes is not null and sha256 is not null))),
        constraint images_outlook_agrees check (
          (state = 'ACTIVE') = (outlook = 'AVAILABLE')
          and (state <> 'DELETED' or outlook = 'NOT_COMING')),
        constraint images_deleted_has_time check ((state = 'DELETED') = (delete_time is not null)),
        constraint images_request_has_digest check ((request_id is null) = (request_digest is null))
      )`);
    this.addSql(`
      create unique index images_request on images (project_id, request_id) where request_id is not null`);
    // One index for each order of ListImages, in runs of one state: images that were deleted, which are
    // the most after a while, are not in the way of those that live. Both directions of create_time.
    this.addSql(
      `create index images_by_create_time on images (project_id, state, create_time, id)`,
    );
    this.addSql(
      `create index images_by_update_time on images (project_id, state, update_time, id)`,
    );
    this.addSql(`create index images_by_name on images (project_id, state, name collate "C", id)`);
    this.addSql(`
      create index images_by_size on images (
        project_id, state, coalesce(size_bytes, -1) desc, id desc)`);
    // For lists of what is rare: small indexes, since equal values share their entry.
    this.addSql(`create index images_by_disk_format on images (project_id, disk_format)`);
    this.addSql(`
      create index images_by_visibility on images (project_id, visibility)
        where visibility <> 'PRIVATE'`);
    this.addSql(`
      create index images_not_coming on images (update_time)
        where state = 'QUEUED' and outlook = 'NOT_COMING'`);
    this.addSql(`create index images_by_tag on images using gin (tags)`);
    this.addSql(`create index images_by_property on images using gin (properties jsonb_path_ops)`);

    this.addSql(`
      create table processes (
        id uuid primary key,
        host text not null,
        -- Where pids mean the same: a boot of a machine, and in it a container. Empty if that is not known.
        machine text not null default '',
        pid integer not null,
        start_time timestamptz(3) not null default now(),
        heartbeat_time timestamptz(3) not null default now()
      )`);

    this.addSql(`
      create table tasks (
        id uuid primary key,
        project_id text not null,
        created_by text not null,
        request_id text,
        type text not null check (type in ('UPLOAD', 'SNAPSHOT', 'IMPORT')),
        image_id uuid not null references images deferrable initially deferred,
        labels jsonb not null,
        state text not null check (state in ('PENDING', 'RUNNING', 'SUCCEEDED', 'FAILED', 'CANCELLED')),
        phase text not null check (
          phase in ('WAITING_FOR_DATA', 'RECEIVING', 'FETCHING', 'VERIFYING', 'PUBLISHING')),
        message text not null default '',
        committed_size bigint not null default 0 check (committed_size >= 0),
        stored_bytes bigint not null default 0 check (stored_bytes between 0 and committed_size),
        reported_bytes_done bigint check (reported_bytes_done >= 0),
        reported_bytes_total bigint check (reported_bytes_total >= 0),
        expected_size bigint check (expected_size >= 0),
        expected_sha256 text check (expected_sha256 ~ '^[0-9a-f]{64}$'),
        finish_size bigint check (finish_size >= 0),
        finish_sha256 text check (finish_sha256 ~ '^[0-9a-f]{64}$'),
        blob_id uuid unique deferrable initially deferred references blobs deferrable initially deferred,
        writer_epoch bigint not null default 0 check (writer_epoch >= 0),
        writer_process_id uuid,
        writer_peer text,
        writer_since timestamptz(3),
        attempt integer not null check (attempt > 0),
        retry_of uuid unique references tasks on delete set null deferrable initially deferred,
        retried_by uuid unique references tasks on delete set null deferrable initially deferred,
        fault_count integer not null default 0 check (fault_count >= 0),
        last_fault_id uuid,
        revision bigint not null default 0 check (revision >= 0),
        idle_timeout_ms bigint not null check (idle_timeout_ms > 0),
        expire_time timestamptz(3),
        create_time timestamptz(3) not null,
        start_time timestamptz(3),
        update_time timestamptz(3) not null,
        finish_time timestamptz(3),
        constraint tasks_live_expires check (
          (state in ('PENDING', 'RUNNING')) = (expire_time is not null)
          and (state in ('PENDING', 'RUNNING')) = (finish_time is null)),
        constraint tasks_writer_is_whole check (
          (writer_process_id is null) = (writer_since is null)
          and (writer_process_id is null) = (writer_peer is null)),
        constraint tasks_terminal_has_no_writer check (
          state in ('PENDING', 'RUNNING') or writer_process_id is null),
        constraint tasks_committed_within_expected check (
          expected_size is null or committed_size <= expected_size),
        unique (image_id, attempt)
      )`);
    // At most one live task an image.
    this.addSql(`
      create unique index tasks_live on tasks (image_id) where state in ('PENDING', 'RUNNING')`);
    // For the sweeper: what expires next.
    this.addSql(`
      create index tasks_expiring on tasks (expire_time, id) where state in ('PENDING', 'RUNNING')`);
    // For admission, and for finding the writers of a process that died.
    this.addSql(`
      create index tasks_writing on tasks (writer_process_id) where writer_process_id is not null`);
    // For the change feed, which reads what changed since it last looked.
    this.addSql(`create index tasks_changed on tasks (update_time)`);
    // The orders of ListTasks, in runs of one state: the few tasks that are in a rare state are found
    // at once. The tasks of one image are few, and found by (image_id, attempt).
    this.addSql(`create index tasks_by_create_time on tasks (project_id, state, create_time, id)`);
    this.addSql(`create index tasks_by_update_time on tasks (project_id, state, update_time, id)`);
    this.addSql(`create index tasks_by_label on tasks using gin (labels jsonb_path_ops)`);
    this.addSql(`
      create index tasks_with_faults on tasks (project_id, state, create_time, id)
        where fault_count > 0`);
    // For pruning the history.
    this.addSql(
      `create index tasks_finished on tasks (finish_time, id) where finish_time is not null`,
    );

    this.addSql(`
      create table faults (
        id uuid primary key,
        task_id uuid not null references tasks on delete cascade deferrable initially deferred,
        image_id uuid not null references images deferrable initially deferred,
        project_id text not null,
        sequence integer not null check (sequence > 0),
        code integer not null check (code between 1 and 16),
        reason text not null check (reason ~ '^[A-Z][A-Z0-9_]{0,62}$'),
        message text not null,
        detail text not null,
        phase text not null,
        committed_offset bigint not null check (committed_offset >= 0),
        attempt integer not null,
        origin text not null check (origin in ('SERVER', 'PRODUCER')),
        host text not null,
        fatal boolean not null,
        retryable boolean not null,
        create_time timestamptz(3) not null,
        unique (task_id, sequence)
      )`);
    // UUIDv7 sorts by time: newest first without another column.
    this.addSql(`create index faults_by_image on faults (image_id, id)`);
    this.addSql(`create index faults_by_project on faults (project_id, id)`);
    // A task has at most one fatal fault: a terminal state never changes.
    this.addSql(`create unique index faults_fatal on faults (task_id) where fatal`);

    this.addSql(`
      create table task_events (
        task_id uuid not null references tasks on delete cascade deferrable initially deferred,
        revision bigint not null check (revision > 0),
        kind text not null,
        state text not null,
        phase text not null,
        cause text not null,
        fault_id uuid references faults on delete cascade deferrable initially deferred,
        bytes_done bigint not null,
        create_time timestamptz(3) not null,
        primary key (task_id, revision)
      )`);
    this.addSql(
      `create index task_events_by_fault on task_events (fault_id) where fault_id is not null`,
    );

    // The folder or bucket in which the blobs of this database lie: a wrong one is noticed at start.
    this.addSql(`
      create table blob_stores (
        id uuid primary key,
        kind text not null,
        create_time timestamptz(3) not null default now()
      )`);

    // A terminal state never changes, and committed bytes are never taken back (rule 2, and the upload rules).
    this.addSql(`
      create function tasks_guard() returns trigger language plpgsql as $$
      begin
        if old.state in ('SUCCEEDED', 'FAILED', 'CANCELLED') and new.state <> old.state then
          raise exception 'task % is % and stays so', old.id, old.state using errcode = 'check_violation';
        end if;
        if new.committed_size < old.committed_size or new.writer_epoch < old.writer_epoch
          or new.revision < old.revision then
          raise exception 'task %: committed_size, writer_epoch and revision never decrease', old.id
            using errcode = 'check_violation';
        end if;
        return new;
      end $$`);
    this.addSql(`
      create trigger tasks_guard before update on tasks for each row execute function tasks_guard()`);

    // Wakes watchers and writers. On transitions only: NOTIFY serialises the commits of all writers.
    this.addSql(`
      create function task_events_notify() returns trigger language plpgsql as $$
      begin
        perform pg_notify('darkroom_task', new.task_id::text);
        return null;
      end $$`);
    this.addSql(`
      create trigger task_events_notify after insert on task_events
        for each row execute function task_events_notify()`);
  }

  override down(): void {
    this.addSql(`
      drop table blob_stores, task_events, faults, tasks, processes, images, blob_segments, blobs`);
    this.addSql('drop function tasks_guard, task_events_notify');
  }
}
