import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Database } from '../../src/database/database.ts';
import { shownRows } from '../../src/database/shown-rows.ts';
import { Image } from '../../src/records/image.ts';
import { Task } from '../../src/records/task.ts';
import { alice, bob, imagesOn, newImage, useImages } from '../images/images-world.ts';
import { createEmptyDatabase } from '../support/test-database.ts';

const openImages = useImages();

const everything = 'true';

describe('where a statement forgets to ask whose rows it reads, PostgreSQL does not', () => {
  test('of images', async () => {
    const { database, images } = openImages();
    const { image } = await images.createImage(alice, newImage());
    const open = await images.createImage(alice, newImage({ visibility: 'PUBLIC' }));
    const rows = shownRows(database, Image, everything);
    const [own, foreign, shown] = await Promise.all([
      rows.read(alice.projectId, image.id),
      rows.read(bob.projectId, image.id),
      rows.read(bob.projectId, open.image.id),
    ]);
    expect(own?.id).toBe(image.id);
    expect(foreign).toBeUndefined();
    expect(shown?.id).toBe(open.image.id);
  });

  test('of tasks', async () => {
    const { database, images } = openImages();
    const { task } = await images.createImage(alice, newImage({ visibility: 'PUBLIC' }));
    const rows = shownRows(database, Task, everything);
    const taskId = task!.task.id;
    const [own, foreign] = await Promise.all([
      rows.read(alice.projectId, taskId),
      rows.read(bob.projectId, taskId),
    ]);
    expect(own?.id).toBe(taskId);
    expect(foreign).toBeUndefined();
  });
});

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

  test('sees nothing before it is told for whom', async () => {
    const { images } = openImages();
    await images.createImage(alice, newImage({ visibility: 'SHARED' }));
    for (const table of ['images', 'tasks', 'faults', 'image_members']) {
      const count = await asTenant(async (client) => {
        const where = table === 'images' ? `where visibility in ('PRIVATE', 'SHARED')` : '';
        return (await client.query(`select from ${table} ${where}`)).rowCount;
      });
      expect(count, table).toBe(0);
    }
  });

  test.each([
    'select from import_orders',
    'select from blobs',
    'select from task_events',
    'update images set name = name',
    'delete from tasks',
    'insert into image_members values (gen_random_uuid(), $$x$$, $$ACCEPTED$$, 1, now(), now())',
  ])('may not do: %s', async (statement) => {
    await expect(asTenant((client) => client.query(statement))).rejects.toMatchObject({
      code: '42501',
    });
  });

  test('is told anew in each statement, and nothing of it is left', async () => {
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

test.each([
  ['may make no role is the one who reads, and has no second wall', false],
  ['was given the role has that wall', true],
])('a user of the database who %s; its service works', async (_, isGiven) => {
  const { url, drop } = await createEmptyDatabase();
  onTestFinished(drop);
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  const name = new URL(url).pathname.slice(1);
  const user = `${name}_owner`;
  await admin.query(`create role ${user} login password 'secret'`);
  await admin.query(`alter database ${name} owner to ${user}`);
  await admin.query(`alter schema public owner to ${user}`);
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
  const database = await Database.connect({ url: asUser.href, poolSize: 2, onWarning: () => {} });
  onTestFinished(() => database.close());
  await database.migrate();
  const { rows } = await database.pool.query<{ owner: string }>(
    `select distinct proowner::regrole::text as owner from pg_proc where proname like '%\\_for\\_project'`,
  );
  expect(rows).toEqual([{ owner: isGiven ? 'darkroom_tenant' : user }]);
  const { images } = imagesOn(database);
  const { image } = await images.createImage(alice, newImage());
  expect((await shownRows(database, Image, 'true').read(alice.projectId, image.id))?.id).toBe(
    image.id,
  );
  expect((await images.getImage(alice, image.id)).image.id).toBe(image.id);
  await expect(images.getImage(bob, image.id)).rejects.toMatchObject({ reason: 'IMAGE_NOT_FOUND' });
});
