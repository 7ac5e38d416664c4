import pg from 'pg';

/** Attempts of each image: as many tasks. */
export const tasksOfImage = 5;

/** Ids and names that lists are filtered by. */
export interface ManyTasks {
  /** An image with five tasks. */
  readonly imageId: string;
  /** The label of twenty tasks. */
  readonly instance: string;
  /** An hour in which tasks were created. */
  readonly hour: { readonly from: Date; readonly to: Date };
}

/**
 * Fills a database that the service has set up. Of the images 40 % are deleted, 45 % ACTIVE and 15 % QUEUED,
 * a third of these still expected. The last task of an image agrees with it; the ones before have failed
 * or were cancelled, and each that failed has a fault. All were made in the last twenty days.
 */
export async function seedManyTasks(url: string, tasks: number): Promise<ManyTasks> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    // Foreign keys and triggers would take most of the time, and the rows agree by how they are made.
    await client.query(`set session_replication_role = replica`);
    await client.query(`set work_mem = '256MB'`);
    for (const statement of statements(Math.max(1, Math.floor(tasks / tasksOfImage)))) {
      await client.query(statement);
    }
    await client.query('vacuum analyze images, tasks, faults, blobs');
    return await pickFrom(client);
  } finally {
    await client.end();
  }
}

/** For image number n: whether it is deleted, active, given up or expected, by its last two digits. */
const isDeleted = 'n % 100 < 40';
const isActive = 'n % 100 between 40 and 84';
const isGivenUp = 'n % 100 between 85 and 94';

function statements(images: number): string[] {
  return [
    `create unlogged table bench_images as
       select n, uuidv7() as id, uuidv7() as blob_id,
              date_trunc('milliseconds', now() - interval '20 days' * (1 - n / ${images}::float8)) as time
         from generate_series(1, ${images}) n`,
    `insert into blobs (id, state)
       select blob_id, 'PUBLISHED' from bench_images where ${isActive}`,
    `insert into images (
       id, project_id, created_by, name, disk_format, container_format, state, outlook, size_bytes,
       sha256, min_disk_bytes, min_ram_bytes, properties, tags, visibility, blob_id, version,
       create_time, update_time, delete_time)
     select id, 'default', 'bench', 'image-' || lpad((n * 7919 % ${images})::text, 7, '0'),
            (array['RAW', 'QCOW2', 'QCOW2', 'RAW', 'VMDK'])[1 + n % 5], 'BARE',
            case when ${isDeleted} then 'DELETED' when ${isActive} then 'ACTIVE' else 'QUEUED' end,
            case when ${isActive} then 'AVAILABLE'
                 when ${isDeleted} or ${isGivenUp} then 'NOT_COMING' else 'EXPECTED' end,
            case when n % 100 < 85 then (n * 104729::bigint) % 100000000000 end,
            case when n % 100 < 85 then lpad(to_hex(n), 64, '0') end,
            0, 0,
            jsonb_build_object('os', (array['debian', 'fedora', 'windows'])[1 + n % 3],
                               'build', (n / 50)::text),
            array['tag-' || n % 1000], case when n % 200 = 50 then 'PUBLIC' else 'PRIVATE' end,
            case when ${isActive} then blob_id end, 3, time,
            least(now(), time + interval '1 hour'),
            case when ${isDeleted} then least(now(), time + interval '1 hour') end
       from bench_images`,
    `create unlogged table bench_tasks as
       select n, attempt, uuidv7() as id, uuidv7() as fault_id, images.id as image_id,
              least(now(), time + interval '10 minutes' * (attempt - 1))::timestamptz(3) as time,
              case when attempt < ${tasksOfImage}
                   then case when (n + attempt) % 10 < 8 then 'FAILED' else 'CANCELLED' end
                   when ${isDeleted} or ${isActive} then 'SUCCEEDED'
                   when ${isGivenUp} then 'FAILED'
                   when n % 100 < 98 then 'PENDING' else 'RUNNING' end as state
         from bench_images images, generate_series(1, ${tasksOfImage}) attempt`,
    `insert into tasks (
       id, project_id, created_by, type, image_id, labels, state, phase, committed_size, attempt,
       fault_count, last_fault_id, revision, idle_timeout_ms, expire_time, create_time, update_time,
       finish_time)
     select id, 'default', 'bench', (array['UPLOAD', 'SNAPSHOT'])[1 + n % 2], image_id,
            jsonb_build_object('instance', 'instance-' || n / 4, 'zone', 'zone-' || n % 3),
            state, case state when 'PENDING' then 'WAITING_FOR_DATA' else 'RECEIVING' end, 0, attempt,
            case state when 'FAILED' then 1 else 0 end, case state when 'FAILED' then fault_id end,
            3, 86400000,
            case when state in ('PENDING', 'RUNNING') then now() + interval '1 day' end, time,
            least(now(), time + interval '5 minutes'),
            case when state not in ('PENDING', 'RUNNING') then least(now(), time + interval '5 minutes') end
       from bench_tasks`,
    `insert into faults (
       id, task_id, image_id, project_id, sequence, code, reason, message, detail, phase,
       committed_offset, attempt, origin, host, fatal, retryable, create_time)
     select fault_id, id, image_id, 'default', 1, 4, 'TASK_EXPIRED', 'Nothing came within 900 s.', '',
            'RECEIVING', 0, attempt, 'SERVER', 'bench', true, true, time
       from bench_tasks where state = 'FAILED'`,
    `update images set latest_task_id = tasks.id
       from bench_tasks tasks
      where tasks.image_id = images.id and tasks.attempt = ${tasksOfImage}`,
  ];
}

/** Of an image nine tenths of the way to the newest. */
async function pickFrom(client: pg.Client): Promise<ManyTasks> {
  const { rows } = await client.query<{ image_id: string; instance: string; from: Date }>(
    `select image_id, labels->>'instance' as instance, date_trunc('hour', create_time) as from
       from tasks
      where id = (select id from bench_tasks
                   where n = (select max(n) * 9 / 10 from bench_images) and attempt = 1)`,
  );
  const [row] = rows;
  if (!row) {
    throw new Error('there are too few tasks to choose from');
  }
  const to = new Date(row.from.getTime() + 3600 * 1000);
  return { imageId: row.image_id, instance: row.instance, hour: { from: row.from, to } };
}
