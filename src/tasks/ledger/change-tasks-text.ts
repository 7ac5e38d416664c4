/** Asks for all that was changed, so that it comes after that. */
const quotaLock = `, counted as materialized (
      select quota_lock($8)
        from (select count(*) as rows
                from (table changed_task union all table changed_image union all table put_segment
                      union all table changed_blob) as every) as changes
       where rows >= 0
    )`;

/**
 * Locks each image and then its task, in this order as everywhere, if both are of the version that was read; then
 * writes all rows of those that it could lock. All by primary keys.
 *
 * A row that was changed after the statement's snapshot is looked at again once it is locked, as it is then
 * (PostgreSQL's READ COMMITTED): its `xmin` is another one by then.
 *
 * @param locksQuotas whether what is counted of several projects is locked at last, in one order, before triggers count.
 */
export function changeTasksText(
  {
    task,
    image,
    event,
    fault,
  }: Readonly<
    Record<'task' | 'image' | 'event' | 'fault', { readonly columns: readonly string[] }>
  >,
  locksQuotas: boolean,
): string {
  const assignments = ({ columns }: { readonly columns: readonly string[] }): string =>
    columns
      .filter((column) => column !== 'id')
      .map((column) => `${column} = new.${column}`)
      .join(', ');
  const list = ({ columns }: { readonly columns: readonly string[] }): string => columns.join(', ');
  return `
    with change as (
      select * from json_to_recordset($1)
        as change (task_id uuid, task_version xid, image_id uuid, image_version xid)
    ), locked_image as materialized (
      select image.id, change.task_id, change.task_version
        from change
        join images as image on image.id = change.image_id and image.xmin = change.image_version
       order by image.id
         for no key update of image skip locked
    ), locked as materialized (
      select task.id, task.image_id
        from locked_image
        join tasks as task on task.id = locked_image.task_id
                          and task.image_id = locked_image.id
                          and task.xmin = locked_image.task_version
         for no key update of task skip locked
    ), changed_task as (
      update tasks set ${assignments(task)}
        from json_populate_recordset(null::tasks, $2) as new
       where tasks.id = new.id and new.id in (select id from locked)
      returning 1
    ), changed_image as (
      update images set ${assignments(image)}
        from json_populate_recordset(null::images, $3) as new
       where images.id = new.id and new.id in (select image_id from locked)
      returning 1
    ), added_fault as (
      insert into faults (${list(fault)})
      select ${list(fault)} from json_populate_recordset(null::faults, $4)
       where task_id in (select id from locked)
    ), added_event as (
      insert into task_events (${list(event)})
      select ${list(event)} from json_populate_recordset(null::task_events, $5)
       where task_id in (select id from locked)
    ), put_segment as (
      insert into blob_segments (id, blob_id, start_offset, length, stored_bytes, writer_epoch, create_time)
      select id, blob_id, start_offset, length, stored_bytes, writer_epoch, create_time
        from json_to_recordset($6) as segment (
               task_id uuid, id uuid, blob_id uuid, start_offset bigint, length bigint,
               stored_bytes bigint, writer_epoch bigint, create_time timestamptz)
       where task_id in (select id from locked)
          on conflict (id) do update
         set length = excluded.length, stored_bytes = excluded.stored_bytes, writer_epoch = excluded.writer_epoch
      returning 1
    ), changed_blob as (
      update blobs set state = new.state, update_time = new.update_time
        from json_to_recordset($7) as new (task_id uuid, id uuid, state text, update_time timestamptz)
       where blobs.id = new.id and new.task_id in (select id from locked)
      returning 1
    )${locksQuotas ? quotaLock : ''}
    select id from locked${locksQuotas ? ' cross join counted' : ''}`;
}
