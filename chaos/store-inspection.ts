import { readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { validate } from 'uuid';
import type { Deployment } from './deployment.ts';

/** What repairs itself must have done so within this time, in ms: repairs run once a second here. */
const patienceMs = 20_000;

/** A rule that holds for all rows; the query finds those that break it. */
interface Rule {
  readonly sentence: string;
  readonly query: string;
}

const rules: readonly Rule[] = [
  {
    sentence: 'a task is live after all clients are done',
    query: `select id || ' ' || state || ' ' || phase || ' ' || committed_size from tasks
            where state in ('PENDING', 'RUNNING')`,
  },
  {
    sentence: 'a writer is attached after all clients are done',
    query: `select id || ' ' || writer_peer from tasks where writer_process_id is not null`,
  },
  {
    sentence: 'the events of a task have gaps, or are not as many as its revision',
    query: `select tasks.id || ' at ' || tasks.revision || ': ' || count(event.revision) from tasks
            left join task_events as event on event.task_id = tasks.id
            group by tasks.id
            having count(event.revision) <> tasks.revision or max(event.revision) <> tasks.revision
                or min(event.revision) <> 1`,
  },
  {
    sentence: 'the faults of a task have gaps, or are not as many as it counts',
    query: `select tasks.id || ' counts ' || tasks.fault_count || ': ' || count(fault.id) from tasks
            left join faults as fault on fault.task_id = tasks.id
            group by tasks.id
            having count(fault.id) <> tasks.fault_count or coalesce(max(fault.sequence), 0) <> tasks.fault_count`,
  },
  {
    sentence: 'a task that FAILED has no fatal fault, or another one has',
    query: `select tasks.id || ' ' || tasks.state from tasks
            left join faults as fault on fault.task_id = tasks.id and fault.fatal
            where (tasks.state = 'FAILED') <> (fault.id is not null)`,
  },
  {
    sentence: 'an event of a terminal task came after its end',
    query: `select event.task_id || ' revision ' || event.revision from task_events as event
            join task_events as ending on ending.task_id = event.task_id
             and ending.state in ('SUCCEEDED', 'FAILED', 'CANCELLED') and event.revision > ending.revision
            where event.kind <> 'RETRIED'`,
  },
  {
    sentence: 'an ACTIVE image is not the sum of its segments',
    query: `select images.id || ' has ' || images.size_bytes || ', segments ' || coalesce(sum(segment.length), 0)
            from images left join blob_segments as segment on segment.blob_id = images.blob_id
            where images.state = 'ACTIVE'
            group by images.id having images.size_bytes <> coalesce(sum(segment.length), 0)`,
  },
  {
    sentence: 'segments overlap or have gaps',
    query: `select segment.id || ' begins at ' || segment.start_offset from (
              select id, start_offset, length, coalesce(sum(length) over earlier, 0) as held
              from blob_segments where length > 0
              window earlier as (partition by blob_id order by start_offset rows between unbounded preceding and 1 preceding)
            ) as segment where segment.start_offset <> segment.held`,
  },
  {
    sentence: 'a task has committed another size than its segments hold',
    query: `select tasks.id || ' has ' || tasks.committed_size || ', segments ' || coalesce(sum(segment.length), 0)
            from tasks left join blob_segments as segment on segment.blob_id = tasks.blob_id
            where tasks.blob_id is not null
            group by tasks.id having tasks.committed_size <> coalesce(sum(segment.length), 0)`,
  },
  {
    sentence: 'a blob belongs to nobody',
    query: `select blobs.id || ' ' || blobs.state from blobs
            where not exists (select from tasks where tasks.blob_id = blobs.id)
              and not exists (select from images where images.blob_id = blobs.id)`,
  },
  {
    sentence: 'a segment of a finished task is empty',
    query: `select segment.id::text from blob_segments as segment
            join blobs on blobs.id = segment.blob_id
            where segment.length = 0 and blobs.state = 'PUBLISHED'`,
  },
];

/**
 * Looks into database and store, once all clients are done. What is found must go away by itself
 * within the patience, as repairs do their work. Answers what stayed wrong.
 */
export async function inspectStore(deployment: Deployment): Promise<string[]> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const problems = await look(deployment);
    if (problems.length === 0 || performance.now() > deadline) {
      return problems;
    }
    await sleep(200);
  }
}

async function look(deployment: Deployment): Promise<string[]> {
  const client = new pg.Client({ connectionString: await deployment.databaseUrl() });
  await client.connect();
  try {
    const problems: string[] = [];
    for (const { sentence, query } of rules) {
      const { rows } = await client.query<string[]>({ text: query, rowMode: 'array' });
      problems.push(...rows.map(([subject]) => `${sentence}: ${subject}`));
    }
    return [
      ...problems,
      ...(await compareFiles(deployment.blobFolder, client)),
      ...(await openSegments(deployment)),
    ];
  } finally {
    await client.end();
  }
}

/** No file without a row, and no row with more bytes than its file. */
async function compareFiles(folder: string, client: pg.Client): Promise<string[]> {
  const problems: string[] = [];
  const { rows } = await client.query<{ id: string; length: string }>(
    'select id, length from blob_segments',
  );
  const lengths = new Map(rows.map(({ id, length }) => [id, Number(length)]));
  for (const shard of await readdir(folder, { withFileTypes: true })) {
    if (shard.isDirectory()) {
      for (const name of await readdir(join(folder, shard.name))) {
        if (!validate(name) || !lengths.has(name)) {
          problems.push(`a file has no segment: ${shard.name}/${name}`);
        }
      }
    }
  }
  for (const [id, length] of lengths) {
    // One that is being deleted may go just now; its row goes soon after.
    const size = await stat(join(folder, id.slice(-2), id)).then(
      (file) => file.size,
      () => 0,
    );
    if (size < length) {
      problems.push(`segment ${id} has ${length} bytes, and its file ${size}`);
    }
  }
  return problems;
}

/** Whoever has no upload and no download has no file of the store open. */
async function openSegments({ services, blobFolder }: Deployment): Promise<string[]> {
  const problems: string[] = [];
  for (const { name, pid } of services) {
    const folder = `/proc/${pid}/fd`;
    for (const descriptor of await readdir(folder).catch(() => [])) {
      const target = await readlink(join(folder, descriptor)).catch(() => '');
      if (target.startsWith(blobFolder)) {
        problems.push(`${name} still has ${target} open`);
      }
    }
  }
  return problems;
}

/** How often each reason was survived so far, in all tasks. */
export async function survivedFaults(deployment: Deployment): Promise<Map<string, number>> {
  const client = new pg.Client({ connectionString: await deployment.databaseUrl() });
  await client.connect();
  try {
    const { rows } = await client.query<{ reason: string; count: string }>(
      'select reason, count(*) from faults where not fatal group by reason',
    );
    return new Map(rows.map(({ reason, count }) => [reason, Number(count)]));
  } finally {
    await client.end();
  }
}
