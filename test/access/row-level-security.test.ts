import pg from 'pg';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { askedKey, askedRowsForProjects, askedValues } from '../../src/database/asked-rows.ts';
import { Database } from '../../src/database/database.ts';
import { startThrowawayPostgres } from '../../src/database/embedded-postgres/throwaway.ts';
import { readsFor } from '../../src/database/reads-for-projects.ts';
import type { ImageId } from '../../src/records/ids.ts';
import { alice, bob, imagesOn, newImage } from '../images/images-world.ts';
import { administer, databaseUrl } from '../support/database-cluster.ts';
import {
  createEmptyDatabase,
  createTestDatabase,
  useOpenDatabase,
} from '../support/test-database.ts';

const open = useOpenDatabase();
const openImages = () => imagesOn(open().database);

/** Has a row in each table that the role may read. */
async function rowsOf(database: Database): Promise<void> {
  await database.pool.query(`
    with made as (
      insert into blobs (id, state) values (gen_random_uuid(), 'STAGED') returning id
    ), quota as (
      insert into project_quotas (project_id, stored_bytes, in_flight_bytes, images, live_tasks)
      values ('somebody', 0, 0, 0, 0) on conflict do nothing
    )
    insert into blob_segments (id, blob_id, start_offset, writer_epoch)
    select gen_random_uuid(), id, 0, 1 from made`);
}

describe('the role that reads for projects', () => {
  async function asTenant<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const { database } = openImages();
    const client = await database.pool.connect();
    try {
      await client.query('begin');
      await client.query('set local role darkroom_tenant');
      return await work(client);
    } finally {
      await client.query('rollback');
      client.release();
    }
  }

  test.each([
    'images',
    'tasks',
    'faults',
    'task_events',
    'image_members',
    'blobs',
    'blob_segments',
    'project_quotas',
  ])('sees none of %s before it is told for whom, and with an empty project', async (table) => {
    const { images } = openImages();
    await images.createImage(alice, newImage({ visibility: 'PUBLIC' }));
    await rowsOf(open().database);
    for (const setting of [undefined, '', 'another.project']) {
      const count = await asTenant(async (client) => {
        if (setting !== undefined) {
          await client.query(`select set_config('darkroom.project', $1, true)`, [setting]);
        }
        const open = table === 'images' && setting ? `where visibility <> 'PUBLIC'` : '';
        return (await client.query(`select from ${table} ${open}`)).rowCount;
      });
      expect(count, setting).toBe(0);
    }
  });

  test.each([
    'select from import_orders',
    'update blobs set state = state',
    'select from quota_defaults',
    'update images set name = name',
    'delete from tasks',
    'select from images for update',
    'insert into image_members values (gen_random_uuid(), $$x$$, $$ACCEPTED$$, 1, now(), now())',
  ])('may not do: %s', async (statement) => {
    await expect(asTenant((client) => client.query(statement))).rejects.toMatchObject({
      code: '42501',
    });
  });

  test('is told anew in each statement of a transaction, too, and nothing of it is left', async () => {
    const { database, images } = openImages();
    const { image } = await images.createImage(alice, newImage());
    const client = await database.pool.connect();
    await client.query('begin');
    const read = (project: string) =>
      client.query('select id from images_for_project($1, $2)', [image.id, project]);
    expect((await read(alice.projectId)).rowCount).toBe(1);
    expect((await read(bob.projectId)).rowCount).toBe(0);
    const { rows } = await client.query(`select current_setting('darkroom.project') as project`);
    expect(rows).toEqual([{ project: '' }]);
    await client.query('rollback');
    client.release();
  });
});

describe('a function that runs as another user than who calls it', () => {
  test('finds its tables in one schema alone, and last in that of who calls', async () => {
    const { rows } = await open().database.pool.query<{ name: string; config: string[] | null }>(`
      select proname as name, proconfig as config
        from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
       where prosecdef and nspname !~ '^pg_' and nspname <> 'information_schema'
       order by proname`);
    expect(rows.map(({ name }) => name)).toEqual([
      'image_is_own',
      'images_for_project',
      'own_image',
      'own_task',
      'tasks_for_project',
    ]);
    expect(rows.filter(({ config }) => config?.join() !== 'search_path=public, pg_temp')).toEqual(
      [],
    );
  });

  test.each([
    ['own_image', 'images', 'own_image($1, $2)'],
    ['image_is_own', 'images', 'case when image_is_own($1) then $1 end'],
    ['images_for_project', 'images', '(select id from images_for_project($1, $2))'],
  ])('takes no table of its caller for the one that it reads: %s', async (_, table, found) => {
    const { database, images } = openImages();
    const { image } = await images.createImage(alice, newImage());
    const client = await database.pool.connect();
    onTestFinished(() => client.release());
    await client.query('begin');
    await client.query(`create temporary table ${table} (like public.${table}) on commit drop`);
    await client.query(`grant select on ${table} to public`);
    await client.query(
      `insert into pg_temp.${table} select (json_populate_record(one, $1)).* from public.${table} one where id = $2`,
      [{ project_id: bob.projectId }, image.id],
    );
    await client.query(`set local darkroom.project = '${bob.projectId}'`);
    const { rows } = await client.query(
      `select ${found} as id`,
      [image.id, bob.projectId].slice(0, found.includes('$2') ? 2 : 1),
    );
    await client.query('rollback');
    expect(rows).toEqual([{ id: null }]);
  });
});

describe('for whom is read', () => {
  let imageId: ImageId;

  beforeAll(async () => {
    const { images } = openImages();
    imageId = (await images.createImage(alice, newImage())).image.id;
  });

  const countFor = (database: Database, project: string | undefined) =>
    database.runForProjects({
      name: `one image for ${project === undefined ? 'nobody' : 'a project'}`,
      text: `select id from images where ${project === undefined ? 'true' : readsFor('$2')} and id = $1`,
      values: project === undefined ? [imageId] : [imageId, project],
    });

  test('is forgotten with the statement, so that the next one on its connection is shown nothing', async () => {
    const own = await onOneConnection();
    expect((await countFor(own, alice.projectId)).rowCount).toBe(1);
    expect((await countFor(own, undefined)).rowCount).toBe(0);
    expect((await countFor(own, bob.projectId)).rowCount).toBe(0);
    expect((await countFor(own, alice.projectId)).rowCount).toBe(1);
  });

  test('is forgotten by a statement that fails, too', async () => {
    const own = await onOneConnection();
    const failing = own.runForProjects({
      name: 'fails',
      text: `select id, 1 / (id <> $1)::int from images where ${readsFor('$2')} and id = $1`,
      values: [imageId, alice.projectId],
    });
    await expect(failing).rejects.toThrow('division by zero');
    expect((await countFor(own, undefined)).rowCount).toBe(0);
  });

  test('may be anything that a project may be called', async () => {
    const { database, images } = openImages();
    for (const projectId of [`a'b"c\\d`, 'ünï 🙂', ' ', 'x'.repeat(255), '$1']) {
      const { image } = await images.createImage({ ...alice, projectId }, newImage());
      const read = (project: string) =>
        database.runForProjects({
          name: 'any project',
          text: `select id from images where ${readsFor('$1')} and id = $2`,
          values: [project, image.id],
        });
      expect((await read(projectId)).rowCount).toBe(1);
      expect((await read(`${projectId}.`)).rowCount).toBe(0);
    }
  });

  /** As a process that reads on one connection. */
  async function onOneConnection(): Promise<Database> {
    const own = await Database.connect({ url: open().url, poolSize: 2, onWarning: console.warn });
    onTestFinished(() => own.close());
    return own;
  }
});

/** Of what PostgreSQL may be forced to in its plans. */
const plannings: Readonly<Record<string, readonly string[]>> = {
  'as it thinks best': [],
  'without nested loops': ['enable_nestloop = off'],
  'by remembering': [
    'enable_memoize = on',
    'enable_material = on',
    'enable_hashjoin = off',
    'enable_mergejoin = off',
  ],
  'without indexes': [
    'enable_indexscan = off',
    'enable_bitmapscan = off',
    'enable_indexonlyscan = off',
  ],
  'by sorting': ['enable_hashjoin = off', 'enable_nestloop = off', 'enable_incremental_sort = off'],
};

describe('a statement that reads for several projects is told each before its rows are read', () => {
  const projects = ['first', 'second', 'third'];
  const ids = new Map<string, string>();

  beforeAll(async () => {
    const { database, images } = openImages();
    for (const projectId of projects) {
      const caller = { ...alice, projectId };
      ids.set(projectId, (await images.createImage(caller, newImage())).image.id);
      for (let count = 0; count < 20; count += 1) {
        await images.createImage(
          caller,
          newImage({ visibility: count < 10 ? 'SHARED' : 'PRIVATE' }),
        );
      }
    }
    // Each is shared with the project after it.
    await database.pool.query(
      `insert into image_members (image_id, member_project_id, status, create_time, update_time)
       select id, case project_id when 'first' then 'second' when 'second' then 'third' else 'first' end,
              'ACCEPTED', now(), now()
         from images where visibility = 'SHARED' and project_id = any ($1)`,
      [projects],
    );
    await database.pool.query('analyze images');
    await database.pool.query('analyze image_members');
  });

  const forgetting = {
    'whose the row is': 'images.id = asked_id',
    'which row': 'images.project_id = asked_project',
    both: `images.visibility <> 'PUBLIC'`,
    'both, and asks for those that are shared': `images.visibility = 'SHARED'`,
  };
  const cases = Object.keys(plannings).flatMap((planning) =>
    Object.keys(forgetting).flatMap((what) =>
      ['generic', 'custom'].map((kind) => [planning, what, kind] as const),
    ),
  );

  test.each(cases)(
    'when it is planned %s and forgets %s (%s plan)',
    async (planning, what, kind) => {
      const { database } = openImages();
      const client = await database.pool.connect();
      onTestFinished(() => client.release(true));
      await client.query('set role darkroom_tenant');
      await client.query(`set plan_cache_mode = force_${kind}_plan`);
      for (const setting of plannings[planning]!) {
        await client.query(`set ${setting}`);
      }
      // Every project asks for every image, the same one after the other.
      const pairs = projects.flatMap((asked) =>
        projects.map((asking) => ({ id: ids.get(asked)!, asking, isOwn: asked === asking })),
      );
      const keys = [...pairs, ...pairs.toReversed()].map(({ id, asking }) => askedKey(id, asking));
      const { rows } = await client.query<{
        asked_key: string;
        project_id: string;
        is_mine: boolean;
      }>({
        name: 'asked',
        text: askedRowsForProjects({
          columns: `project_id, project_id = asked_project or exists (
          select from image_members where image_id = images.id and member_project_id = asked_project) as is_mine`,
          from: 'images',
          where: forgetting[what as keyof typeof forgetting],
        }),
        values: [...askedValues(keys)],
      });
      const projectOf = (key: string) => key.split(' ')[1];
      if (what === 'whose the row is') {
        const own = pairs
          .filter(({ isOwn }) => isOwn)
          .map(({ id, asking }) => askedKey(id, asking));
        expect(rows.map(({ asked_key }) => asked_key).toSorted()).toEqual(
          [...own, ...own].toSorted(),
        );
      } else {
        // Some row for each key, and none of another project but what is shared with this one.
        expect(rows).toHaveLength(keys.length);
      }
      for (const row of rows) {
        expect(
          row.is_mine || row.project_id === projectOf(row.asked_key),
          JSON.stringify(row),
        ).toBe(true);
      }
    },
  );
});

describe('connections that read for projects', () => {
  async function ownDatabase(): Promise<{ database: Database; imageId: ImageId; url: string }> {
    const { url, drop } = await createTestDatabase();
    onTestFinished(drop);
    const database = await Database.connect({ url, poolSize: 8, onWarning: () => {} });
    onTestFinished(() => database.close());
    const { image } = await imagesOn(database).images.createImage(alice, newImage());
    return { database, imageId: image.id, url };
  }

  const read = (database: Database, id: ImageId, project: string) =>
    database.runForProjects<{ role: string }>({
      name: 'a forgetful read',
      text: `select current_user as role from images where ${readsFor('$2')} and id = $1`,
      values: [id, project],
    });

  async function expectWall(database: Database, id: ImageId): Promise<void> {
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        read(database, id, n % 2 === 0 ? alice.projectId : bob.projectId),
      ),
    );
    expect(answers.map(({ rows }) => rows)).toEqual(
      answers.map((_, n) => (n % 2 === 0 ? [{ role: 'darkroom_tenant' }] : [])),
    );
  }

  test('are in their role whichever of them is used', async () => {
    const { database, imageId } = await ownDatabase();
    await expectWall(database, imageId);
  });

  test('are in it again after all of them broke', async () => {
    const { database, imageId, url } = await ownDatabase();
    await expectWall(database, imageId);
    const admin = new pg.Client({ connectionString: url });
    await admin.connect();
    const { rowCount } = await admin.query(
      `select pg_terminate_backend(pid, 5000) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`,
    );
    expect(rowCount).toBeGreaterThan(1);
    await admin.end();
    await expect
      .poll(() =>
        read(database, imageId, alice.projectId).then(
          ({ rowCount: count }) => count,
          () => 0,
        ),
      )
      .toBe(1);
    await expectWall(database, imageId);
  });

  test('fail, and do not read without the wall, once the role was taken away', async () => {
    const { url, drop } = await createTestDatabase();
    onTestFinished(drop);
    const { asUser, admin, user } = await ownerOf(url, true);
    const database = await Database.connect({ url: asUser, poolSize: 4, onWarning: () => {} });
    onTestFinished(() => database.close());
    const { image } = await imagesOn(database).images.createImage(alice, newImage());
    expect((await read(database, image.id, alice.projectId)).rowCount).toBe(1);
    await admin.query(`revoke darkroom_tenant from ${user}`);
    await admin.query(
      `select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = $1`,
      [user],
    );
    await expect
      .poll(() => read(database, image.id, bob.projectId).catch((error: unknown) => error))
      .toMatchObject({
        code: '42501',
      });
  });
});

/** Makes a user whose the database is. */
async function ownerOf(
  url: string,
  isGiven: boolean,
): Promise<{ asUser: string; user: string; admin: pg.Client }> {
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  const name = new URL(url).pathname.slice(1);
  const user = `${name}_owner`;
  await admin.query(`create role ${user} login password 'secret'`);
  await admin.query(`alter database ${name} owner to ${user}`);
  await admin.query(`alter schema public owner to ${user}`);
  const { rows } = await admin.query<{ name: string }>(
    `select format('table %I', relname) as name from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'
     union all
     select format('function %s', oid::regprocedure) from pg_proc
      where pronamespace = 'public'::regnamespace and pg_get_userbyid(proowner) <> 'darkroom_tenant'`,
  );
  for (const object of rows) {
    await admin.query(`alter ${object.name} owner to ${user}`);
  }
  if (isGiven) {
    await admin.query(`grant darkroom_tenant to ${user}`);
  }
  onTestFinished(async () => {
    await admin.query(`reassign owned by ${user} to current_user`);
    await admin.query(`drop owned by ${user}`);
    await admin.query(`drop role ${user}`);
    await admin.end();
  });
  const asUser = new URL(url);
  [asUser.username, asUser.password] = [user, 'secret'];
  return { asUser: asUser.href, user, admin };
}

test('a user who may make roles, and is no superuser, makes that role and has the wall', async () => {
  const server = await startThrowawayPostgres();
  onTestFinished(() => server.stop());
  await administer(server.connectionString, `create role maker login createrole password 'secret'`);
  await administer(server.connectionString, 'create database made owner maker');
  const url = new URL(databaseUrl(server.connectionString, 'made'));
  [url.username, url.password] = ['maker', 'secret'];
  const database = await Database.connect({ url: url.href, poolSize: 2, onWarning: () => {} });
  try {
    await database.migrate();
    expect(await database.hasWall()).toBe(true);
  } finally {
    await database.close();
  }
});

test.each([
  ['may make no role is the one who reads, and has no second wall', false],
  ['was given the role has that wall', true],
])('a user of the database who %s; its service works', async (_, isGiven) => {
  const { url, drop } = await createEmptyDatabase();
  onTestFinished(drop);
  const { asUser } = await ownerOf(url, isGiven);
  const database = await Database.connect({ url: asUser, poolSize: 2, onWarning: () => {} });
  onTestFinished(() => database.close());
  await database.migrate();
  expect(await database.hasWall()).toBe(isGiven);
  const { images } = imagesOn(database);
  const { image } = await images.createImage(alice, newImage());
  const forgetful = await database.runForProjects({
    name: 'forgetful',
    text: `select id from images where ${readsFor('$2')} and id = $1`,
    values: [image.id, bob.projectId],
  });
  expect(forgetful.rowCount).toBe(isGiven ? 0 : 1);
  expect((await images.getImage(alice, image.id)).image.id).toBe(image.id);
  await expect(images.getImage(bob, image.id)).rejects.toMatchObject({ reason: 'IMAGE_NOT_FOUND' });
});
