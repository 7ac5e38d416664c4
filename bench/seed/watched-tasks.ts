import pg from 'pg';

/** Makes tasks that wait for their bytes, each with an image and its first event; answers their ids. */
export async function seedWatchedTasks(url: string, count: number): Promise<string[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ id: string }>(
      `with new_images as (
         insert into images (
           id, project_id, created_by, name, disk_format, container_format, state, outlook,
           min_disk_bytes, min_ram_bytes, properties, tags, visibility, create_time, update_time)
         select uuidv7(), 'default', 'bench', 'watched', 'RAW', 'BARE', 'QUEUED', 'EXPECTED',
                0, 0, '{}', '{}', 'PRIVATE', now(), now()
           from generate_series(1, $1)
         returning id
       ), new_tasks as (
         insert into tasks (
           id, project_id, created_by, type, image_id, labels, state, phase, attempt, revision,
           idle_timeout_ms, expire_time, create_time, update_time)
         select uuidv7(), 'default', 'bench', 'SNAPSHOT', id, '{}', 'PENDING', 'WAITING_FOR_DATA', 1, 1,
                86400000, now() + interval '1 day', now(), now()
           from new_images
         returning id
       ), new_events as (
         insert into task_events (
           task_id, revision, kind, state, phase, cause, bytes_done, create_time)
         select id, 1, 'CREATED', 'PENDING', 'WAITING_FOR_DATA', 'bench', 0, now()
           from new_tasks
       )
       select id from new_tasks`,
      [count],
    );
    await client.query('vacuum analyze images, tasks, task_events');
    return rows.map(({ id }) => id);
  } finally {
    await client.end();
  }
}
