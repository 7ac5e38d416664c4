import { beforeAll, expect, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import type { Statement } from '../../src/database/statement.ts';
import { imageOrders } from '../../src/images/image-order.ts';
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
    select id, project_id, 'ann', 'image ' || n * 7919 % 110000, 'RAW', 'BARE', 'ACTIVE', 'AVAILABLE', n, repeat('0', 64),
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
  ].entries()) {
    await database.pool.query(
      `update images set ${change} where name in (
         select name from images where project_id = 'p0' order by name offset $1 limit 20)`,
      [20 * i],
    );
  }
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
  expect(statements.map(({ role }) => role)).toEqual(['none', 'darkroom_tenant']);
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
const cases = ['p0', 'p1', 'p500'].flatMap((project) =>
  imageOrders.flatMap((order) =>
    [true, false].map((isGeneric) => [project, order, isGeneric] as const),
  ),
);

test.each(cases)(
  'of 110,000 images a page for %s by %s reads what it shows, and what was shared (generic: %s)',
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
])('a page of %s is bounded, too', async (_, filter) => {
  const { database } = openImages();
  const nodes = await planOf(database, false, 'p500', listOf(filter, { pageSize }));
  const most = Math.max(...nodes.map(({ rows }) => rows));
  expect(most, JSON.stringify(nodes)).toBeLessThanOrEqual(3 * (pageSize + 1));
});
