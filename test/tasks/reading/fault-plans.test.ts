import { beforeAll, expect, test } from 'vitest';
import type { Database } from '../../../src/database/database.ts';
import type { Statement } from '../../../src/database/statement.ts';
import type { ListFaultsRequest } from '../../../src/tasks/reading/list-requests.ts';
import { listFaults } from '../../../src/tasks/reading/task-queries.ts';
import { useDatabase } from '../../support/test-database.ts';
import { makeTask, member } from '../task-fixtures.ts';

const database = useDatabase();
const pageSize = 100;
let taskId: string;
let imageId: string;

/** 200 tasks with 100 faults each, all of one project. */
beforeAll(async () => {
  ({ taskId, imageId } = await makeTask(database()));
  await database().pool.query(
    `with image as (
       insert into images select (json_populate_record(images, json_build_object('id', gen_random_uuid()))).*
         from images, generate_series(2, 200) where images.id = $1 returning id
     ), task as (
       insert into tasks
       select (json_populate_record(tasks, json_build_object('id', gen_random_uuid(), 'image_id', image.id, 'blob_id', null))).*
         from tasks, image where tasks.id = $2 returning id, image_id
     ), every as (
       select id, image_id from task union all select $2, $1
     )
     insert into faults (id, task_id, image_id, project_id, sequence, code, reason, message, detail, phase,
            committed_offset, attempt, origin, host, fatal, retryable, create_time)
     select gen_random_uuid(), id, image_id, $3, n, 13, 'X', 'x', '', 'RECEIVING', 0, 1, 'SERVER', '', false, false, now()
       from every, generate_series(1, 100) as n`,
    [imageId, taskId, member.projectId],
  );
  await database().pool.query('analyze faults');
});

/** How many rows the statements of a list look at, by each step of their plans. */
async function rowsLookedAt(request: ListFaultsRequest, isGeneric: boolean): Promise<number[]> {
  const statements: { statement: Statement; role: string }[] = [];
  const noted = (role: string, run: 'run' | 'runForProjects') => ({
    value: (statement: Statement) => {
      statements.push({ statement, role });
      return database()[run](statement);
    },
  });
  const watched = Object.create(database(), {
    run: noted('none', 'run'),
    runForProjects: noted('darkroom_tenant', 'runForProjects'),
    fork: { value: () => database().fork() },
  }) as Database;
  const page = await listFaults(watched, member, request);
  expect(page.rows).toHaveLength(pageSize);
  const client = await database().pool.connect();
  try {
    await client.query(`set plan_cache_mode = force_${isGeneric ? 'generic' : 'custom'}_plan`);
    const lines: string[] = [];
    for (const [n, { statement, role }] of statements.entries()) {
      await client.query(`set role ${role}`);
      const { rows } = await client.query<{ 'QUERY PLAN': string }>({
        name: `plan ${n}`,
        text: `explain (analyze, costs off, timing off, summary off) ${statement.text}`,
        values: [...(statement.values ?? [])],
      });
      lines.push(...rows.map((row) => row['QUERY PLAN']));
    }
    return lines.flatMap((line) => {
      const [, rows] = /(?:actual rows=|Rows Removed by Filter: )([\d.]+)/.exec(line) ?? [];
      return rows === undefined ? [] : [Number(rows)];
    });
  } finally {
    client.release(true);
  }
}

test.each(
  (['project', 'task', 'image'] as const).flatMap((of) =>
    [true, false].map((isGeneric) => [of, isGeneric] as const),
  ),
)(
  'of 20,000 faults a page of those of a %s reads what it shows (generic: %s)',
  async (of, isGeneric) => {
    const requests = {
      project: undefined,
      task: { kind: 'task', taskId },
      image: { kind: 'image', imageId },
    } as const;
    const looked = await rowsLookedAt({ of: requests[of], pageSize, pageToken: '' }, isGeneric);
    expect(looked.length).toBeGreaterThan(0);
    expect(Math.max(...looked)).toBeLessThanOrEqual(pageSize + 1);
  },
);
