import { beforeAll, expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import type { Statement } from '../../src/database/statement.ts';
import { imageOrders, type ImageSort } from '../../src/images/image-order.ts';
import { alice, imagesOn, listOf, useImages } from './images-world.ts';

const openImages = useImages();

const sharedWithMe = 200;

/**
 * 100,000 images of 1,000 projects, of each ten one is PUBLIC, one COMMUNITY and one SHARED; 10,000 more PUBLIC ones are of
 * one project; `sharedWithMe` are accepted by each of the projects 1 to 300.
 */
beforeAll(async () => {
  const { database } = openImages();
  await database.pool.query(`
    with made as (
      select gen_random_uuid() as id, gen_random_uuid() as blob_id, n,
             case when n >= 100000 then 'p0' else 'p' || n % 1000 end as project_id,
             case when n >= 100000 then 'PUBLIC'
                  else (array['PUBLIC', 'COMMUNITY', 'SHARED'])[n / 1000 % 10 + 1] end as visibility,
             timestamptz '2026-01-01' + n * interval '1 s' as time
        from generate_series(0, 109999) as n
    ), blob as (
      insert into blobs (id, state) select blob_id, 'PUBLISHED' from made
    )
    insert into images (id, project_id, created_by, name, disk_format, container_format, state, outlook, size_bytes,
           sha256, min_disk_bytes, min_ram_bytes, properties, tags, visibility, blob_id, create_time, update_time)
    select id, project_id, 'ann', 'image ' || n * 7919 % 110000, 'RAW', 'BARE', 'ACTIVE', 'AVAILABLE', n, lpad(n::text, 64, '0'),
           0, 0, '{}', '{}', coalesce(visibility, 'PRIVATE'), blob_id, time, time
      from made`);
  await database.pool.query(
    `insert into image_members (image_id, member_project_id, status, create_time, update_time)
     select id, 'p' || member, 'ACCEPTED', now(), now()
       from generate_series(1, 300) as member,
            (select id from images where visibility = 'SHARED' limit $1) as shared`,
    [sharedWithMe],
  );
  // Of what is rare, 20 of each among those of p0.
  for (const [i, change] of [
    'hidden = true',
    'protected = true',
    'deactivated = true',
    `container_format = 'OVA'`,
    `disk_format = 'ISO'`,
    'min_disk_bytes = 1073741824',
    'min_ram_bytes = 1048576',
    `sha256 = repeat('1', 64)`,
    `tags = '{rare}'`,
    `properties = '{"os": "rare"}'`,
    `create_time = '2020-01-01'`,
    `update_time = '2020-01-01'`,
    'size_bytes = 1000000000',
    'size_bytes = 3',
    `name = 'rare ' || name`,
  ].entries()) {
    await database.pool.query(
      `update images set ${change} where name in (
         select name from images where project_id = 'p0' order by name offset $1 limit 20)`,
      [20 * i],
    );
  }
  // Of 5,000 that wait for their bytes, 20 may hope.
  await database.pool.query(`
    insert into images (id, project_id, created_by, name, disk_format, container_format, state, outlook,
           min_disk_bytes, min_ram_bytes, properties, tags, visibility, create_time, update_time)
    select gen_random_uuid(), 'p0', 'ann', 'waiting ' || n, 'RAW', 'BARE', 'QUEUED',
           case when n <= 20 then 'EXPECTED' else 'NOT_COMING' end,
           0, 0, '{}', '{}', 'PRIVATE', now(), now()
      from generate_series(1, 5000) as n`);
  await database.pool.query('analyze images');
  await database.pool.query('analyze image_members');
}, 120_000);

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

/** How the statements of a list are run: each node with the rows that it has looked at. */
async function planOf(
  database: Database,
  isGeneric: boolean,
  projectId: string,
  request: ReturnType<typeof listOf>,
  findsAny = true,
): Promise<{ readonly type: string; readonly rows: number }[]> {
  const statements: { statement: Statement; role: string }[] = [];
  const watched = Object.create(database, {
    run: {
      value: (statement: Statement) => {
        statements.push({ statement, role: 'none' });
        return database.run(statement);
      },
    },
    runForProjects: {
      value: (statement: Statement) => {
        statements.push({ statement, role: 'darkroom_tenant' });
        return database.runForProjects(statement);
      },
    },
    fork: { value: () => database.fork() },
  }) as Database;
  await imagesOn(watched).images.listImages({ ...alice, projectId }, request);
  // Where the rows are, and then the rows.
  const roles = ['none', 'darkroom_tenant'];
  expect(roles.slice(0, findsAny ? 2 : 1)).toEqual(statements.map(({ role }) => role));
  const client = await database.pool.connect();
  try {
    await client.query(`set plan_cache_mode = force_${isGeneric ? 'generic' : 'custom'}_plan`);
    const nodes: { type: string; rows: number }[] = [];
    for (const { role, statement } of statements) {
      await client.query(`set role ${role}`);
      const { rows } = await client.query<{ 'QUERY PLAN': { Plan: PlanNode }[] }>({
        name: `plan ${isGeneric} ${role}`,
        text: `explain (analyze, format json) ${statement.text}`,
        values: [...(statement.values ?? [])],
      });
      nodes.push(...nodesOf(rows[0]!['QUERY PLAN'][0]!.Plan));
    }
    return nodes;
  } finally {
    client.release(true);
  }
}

function nodesOf(plan: PlanNode): { type: string; rows: number }[] {
  const looked = plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0);
  return [
    { type: plan['Node Type'], rows: looked * plan['Actual Loops'] },
    ...(plan.Plans ?? []).flatMap(nodesOf),
  ];
}

const pageSize = 100;

// p0 owns 10,000 PUBLIC images, p1 has accepted 200, p500 has neither.
const sorts = (['ID', 'STATE', 'DISK_FORMAT', 'CONTAINER_FORMAT'] as const).flatMap((key) =>
  (['asc', 'desc'] as const).map((direction): readonly ImageSort[] => [{ key, direction }]),
);
const cases = ['p0', 'p1', 'p500'].flatMap((project) =>
  [...imageOrders, ...sorts].flatMap((order) =>
    [true, false].map((isGeneric) => [project, order, isGeneric] as const),
  ),
);

test.each(cases)(
  'of 115,000 images a page for %s by %j reads what it shows, and what was shared (generic: %s)',
  async (project, order, isGeneric) => {
    const { database } = openImages();
    const nodes = await planOf(database, isGeneric, project, listOf({}, { order, pageSize }));
    const most = Math.max(...nodes.map(({ rows }) => rows));
    // Each run gives one row more than the page has; those that were shared are sorted.
    expect(most, JSON.stringify(nodes)).toBeLessThanOrEqual(
      Math.max(3 * (pageSize + 1), sharedWithMe),
    );
  },
);

test.each([
  ['COMMUNITY images of all', { visibilities: ['COMMUNITY'] }],
  ['those of one other project', { projectId: 'p7' }],
  ['PUBLIC ones of a project that has 10,000', { projectId: 'p0', visibilities: ['PUBLIC'] }],
  ['hidden ones of that project', { projectId: 'p0', hidden: true }],
  ['protected ones of it', { projectId: 'p0', protected: true }],
  ['deactivated ones of it', { projectId: 'p0', deactivated: true }],
  ['OVAs of it', { projectId: 'p0', containerFormats: ['OVA'] }],
  ['ISOs of it', { projectId: 'p0', diskFormats: ['ISO'] }],
  ['those of it that need a disk', { projectId: 'p0', minDiskBytes: [1, 2 ** 31] as const }],
  ['those of it that need memory', { projectId: 'p0', minRamBytes: [1, 2 ** 31] as const }],
  ['those of it with a digest', { projectId: 'p0', sha256: '1'.repeat(64) }],
  ['those of it with a tag', { projectId: 'p0', tags: ['rare'] }],
  ['those of it with a property', { projectId: 'p0', properties: { os: 'rare' } }],
  ['those of it that are old', { projectId: 'p0', createdBefore: new Date('2021-01-01') }],
  ['those of it not changed since', { projectId: 'p0', updatedBefore: new Date('2021-01-01') }],
  ['large ones of it', { projectId: 'p0', minSizeBytes: 1_000_000_000 }],
  ['small ones of it', { projectId: 'p0', maxSizeBytes: 5 }],
  ['some names of it', { projectId: 'p0', namePrefix: 'rare ' }],
  ['what is being uploaded to it', { standings: ['SAVING'] as const }, 'p0', false],
  [
    'what is being staged or imported',
    { standings: ['UPLOADING', 'IMPORTING'] as const },
    'p0',
    false,
  ],
])('a page of %s is bounded, too', async (_, filter, project = 'p500', findsAny = true) => {
  const { database } = openImages();
  const nodes = await planOf(database, false, project, listOf(filter, { pageSize }), findsAny);
  // Bitmaps are of places alone, and made where that is thought to be cheaper than a look at the rows.
  const looked = nodes.filter(({ type }) => type !== 'Bitmap Index Scan');
  const most = Math.max(...looked.map(({ rows }) => rows));
  expect(most, JSON.stringify(nodes)).toBeLessThanOrEqual(3 * (pageSize + 1));
});
