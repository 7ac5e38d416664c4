import { beforeAll, describe, expect, test } from 'vitest';
import type { Caller } from '../../src/access/caller.ts';
import { ownFaults } from '../../src/access/find-fault.ts';
import { readImage } from '../../src/access/find-image.ts';
import { readTask } from '../../src/access/find-task.ts';
import type { Database } from '../../src/database/database.ts';
import { readRuns, type Runs } from '../../src/database/read-runs.ts';
import type { Statement } from '../../src/database/statement.ts';
import { ImageMembers } from '../../src/images/image-members.ts';
import { readEntries, readNamespace } from '../../src/metadefs/find-metadefs.ts';
import { MetadefEntries } from '../../src/metadefs/metadef-entries.ts';
import { MetadefNamespaces } from '../../src/metadefs/metadef-namespaces.ts';
import { Fault } from '../../src/records/fault.ts';
import type {
  BlobId,
  FaultId,
  ImageId,
  MetadefNamespaceId,
  TaskId,
} from '../../src/records/ids.ts';
import { segmentsForProject } from '../../src/storage/published-segments.ts';
import { ImageMember } from '../../src/records/image-member.ts';
import { TaskEvent } from '../../src/records/task-event.ts';
import { listTasks } from '../../src/tasks/reading/task-queries.ts';
import { listTasksAfter } from '../../src/tasks/reading/list-tasks-after.ts';
import { TaskReader } from '../../src/tasks/reading/task-reader.ts';
import {
  alice,
  bob,
  change as changed,
  imagesOn,
  listOf,
  newImage,
} from '../images/images-world.ts';
import { change, fault, readTask as taskOf } from '../tasks/task-fixtures.ts';
import { quotasOn } from '../quotas/quota-world.ts';
import { useDatabase } from '../support/test-database.ts';

const open = useDatabase();

/** A condition by which a statement asks whose rows it reads. */
const whose = /\b(?:\w+\.)?project_id = (\w+\.project|asked_project|\$\d+)/g;

/** How a database forgets. */
interface Forgetful {
  readonly database: Database;
  /** The statements that it has run, as they were before it forgot. */
  readonly texts: string[];
}

/**
 * A database that runs each statement without the conditions by which it asks whose rows they are.
 *
 * @param hasWall whether what is read for callers is read behind the second wall.
 */
function forgetful(hasWall: boolean): Forgetful {
  const texts: string[] = [];
  const forget = ({ name, text, ...rest }: Statement): Statement => {
    texts.push(text);
    // A value that is not used any more would have no type.
    return {
      ...rest,
      name: `forgetful ${name}`,
      text: text.replace(whose, (_, value: string) => `(${value}::text is not null)`),
    };
  };
  const database = Object.create(open(), {
    run: { value: (statement: Statement) => open().run(forget(statement)) },
    runForProjects: {
      value: (statement: Statement) =>
        hasWall ? open().runForProjects(forget(statement)) : open().run(forget(statement)),
    },
    fork: { value: () => open().fork() },
  }) as Database;
  return { database, texts };
}

let imageId: ImageId;
let sharedId: ImageId;
let taskId: TaskId;
let faultId: FaultId;
let blobId: BlobId;
let namespaceId: MetadefNamespaceId;

beforeAll(async () => {
  const { images } = imagesOn(open());
  const made = await images.createImage(alice, newImage({}, { requestId }));
  imageId = made.image.id;
  taskId = made.task!.task.id;
  await change(open(), taskId, (entry) => void entry.survive(fault));
  faultId = (await taskOf(open(), taskId)).lastFaultId!;
  const { namespace } = await new MetadefNamespaces(open()).create(
    alice,
    {
      namespace: 'secret',
      displayName: null,
      description: null,
      visibility: 'PRIVATE',
      protected: false,
      projectId: '',
    },
    [{ kind: 'RESOURCE_TYPE', name: 'secret', content: {} }],
  );
  namespaceId = namespace.id;
  sharedId = (await images.createImage(alice, newImage({ visibility: 'SHARED' }))).image.id;
  blobId = await bytesOf(imageId);
  await new ImageMembers(open(), { maxImageMembers: 5 }).add(alice, {
    imageId: sharedId,
    memberProjectId: 'carol',
  });
});

/** Gives an image bytes, as far as the database knows. */
async function bytesOf(id: ImageId): Promise<BlobId> {
  const {
    rows: [row],
  } = await open().pool.query<{ blob_id: BlobId }>(
    `with staged as (
       insert into blobs (id, state) values (gen_random_uuid(), 'PUBLISHED') returning id
     ), segment as (
       insert into blob_segments (id, blob_id, start_offset, length, writer_epoch)
       select gen_random_uuid(), id, 0, 5, 1 from staged
     )
     update images set state = 'ACTIVE', outlook = 'AVAILABLE', blob_id = staged.id, size_bytes = 5, sha256 = repeat('0', 64)
       from staged where images.id = $1 returning images.blob_id`,
    [id],
  );
  return row!.blob_id;
}

const anyTask = {
  states: [],
  types: [],
  imageId: undefined,
  labels: {},
  createdAfter: undefined,
  createdBefore: undefined,
  updatedAfter: undefined,
  updatedBefore: undefined,
  hasFaults: undefined,
};

const requestId = 'the same';

/** How many rows of alice's somebody is handed. */
type Read = (database: Database, caller: Caller) => Promise<number>;

const countOf = (found: Promise<unknown>): Promise<number> =>
  found.then(
    (row) => (row === undefined ? 0 : 1),
    (error: { reason?: string }) => {
      expect(error.reason).toMatch(/_NOT_FOUND$/);
      return 0;
    },
  );

const runOf = (name: string, sql: string, value: string): Runs => ({
  name,
  isPrepared: true,
  runs: [{ sql, values: [value] }],
  orderBy: '1',
  limit: 10,
});

const reads: Readonly<Record<string, Read>> = {
  'an image by its id (GetImage, downloads, copies, members)': (database, caller) =>
    countOf(readImage(database, caller, imageId)),
  'a task by its id (GetTask)': (database, caller) => countOf(readTask(database, caller, taskId)),
  'a fault by its id (the last fault of images and tasks)': (database, caller) =>
    countOf(ownFaults(database).read(caller.projectId, faultId)),
  'a task that is watched': (database, caller) =>
    countOf(new TaskReader(database).snapshot(taskId, caller.projectId)),
  'events of a task that is watched': async (database, { projectId }) =>
    (await new TaskReader(database).events({ taskId, projectId, after: 0, upTo: 9 })).length,
  'a page of images': async (database, caller) =>
    (await imagesOn(database).images.listImages(caller, listOf())).rows.length,
  'a page of images by an index that PostgreSQL does not use behind the wall': async (
    database,
    caller,
  ) =>
    (await imagesOn(database).images.listImages(caller, listOf({}, { order: 'NAME_ASC' }))).rows
      .length,
  'a page of tasks': async (database, caller) =>
    (
      await listTasks(database, caller, {
        filter: anyTask,
        order: undefined,
        pageSize: 0,
        pageToken: '',
      })
    ).rows.length,
  'a page of tasks over REST': async (database, caller) =>
    (
      await listTasksAfter(database, caller, {
        filter: anyTask,
        column: 'createTime',
        direction: 'desc',
        limit: 10,
        after: undefined,
      })
    ).rows.length,
  'a namespace by its name': (database, caller) =>
    countOf(readNamespace(database, caller, 'secret')),
  'the types of resources of namespaces': async (database, caller) =>
    (await new MetadefEntries(database).resourceTypes(caller)).length,
};

/** Those whose statements do not ask whose the rows are, since the task or image was read before. */
const furtherReads: Readonly<Record<string, Read>> = {
  'the faults of a task': async (database, { projectId }) =>
    (await readRuns(database, Fault, projectId, runOf('task', 'task_id = ?', taskId))).length,
  'the faults of an image': async (database, { projectId }) =>
    (await readRuns(database, Fault, projectId, runOf('image', 'image_id = ?', imageId))).length,
  'the events of a task': async (database, { projectId }) =>
    (await readRuns(database, TaskEvent, projectId, runOf('task', 'task_id = ?', taskId))).length,
  'a page of namespaces': async (database, caller) =>
    (
      await new MetadefNamespaces(database).list(caller, {
        visibility: undefined,
        resourceTypes: ['secret'],
        sortBy: 'created_at',
        direction: 'desc',
        limit: 10,
        after: undefined,
      })
    ).length,
  'what a namespace has': async (database, caller) =>
    (await readEntries(database, caller, [namespaceId])).length,
  'the members of an image': async (database, { projectId }) =>
    (await readRuns(database, ImageMember, projectId, runOf('image', 'image_id = ?', sharedId)))
      .length,
  'where the bytes of an image are': async (database, { projectId }) =>
    (await segmentsForProject(database, projectId, blobId)).length,
};

describe('where a statement forgets to ask whose rows it reads, PostgreSQL does not', () => {
  test.each(Object.entries(reads))('of %s', async (_, read) => {
    const behind = forgetful(true);
    expect(await read(behind.database, alice)).toBeGreaterThan(0);
    expect(await read(behind.database, bob)).toBe(0);
    // It has asked, and what is forgotten is all there is beside the wall.
    expect(behind.texts.every((text) => text.search(whose) > 0)).toBe(true);
    expect(await read(forgetful(false).database, bob)).toBeGreaterThan(0);
  });

  test.each(Object.entries(furtherReads))('of %s', async (_, read) => {
    expect(await read(open(), alice)).toBeGreaterThan(0);
    expect(await read(open(), bob)).toBe(0);
    expect(await read(forgetful(false).database, bob)).toBeGreaterThan(0);
  });
});

test('nor of what a project uses and may use (GetQuota)', async () => {
  await quotasOn(open()).update(alice.projectId, { images: 17 }, undefined);
  const unset = { overrides: {}, version: 0, usage: { images: 0, live_tasks: 0 } };
  expect(await quotasOn(open()).get(alice.projectId)).toMatchObject({ overrides: { images: 17 } });
  const behind = forgetful(true);
  expect(await quotasOn(behind.database).get(bob.projectId)).toMatchObject(unset);
  expect(behind.texts.every((text) => text.search(whose) > 0)).toBe(true);
  expect(await quotasOn(forgetful(false).database).get(bob.projectId)).toMatchObject({
    overrides: { images: 17 },
  });
});

test('the places of the bytes of an image are shown to whom the image is, and no longer', async () => {
  const { images } = imagesOn(open());
  const shared = (await images.createImage(alice, newImage({ visibility: 'COMMUNITY' }))).image.id;
  const blob = await bytesOf(shared);
  const count = async ({ projectId }: Caller): Promise<number> =>
    (await segmentsForProject(open(), projectId, blob)).length;
  expect([await count(alice), await count(bob)]).toEqual([1, 1]);
  await images.updateImage(alice, changed(shared, { visibility: 'PRIVATE' }));
  expect([await count(alice), await count(bob)]).toEqual([1, 0]);
});

test('nor of the image that the same request of another project has made', async () => {
  const request = newImage({}, { requestId });
  const own = await imagesOn(open()).images.createImage(bob, request);
  const again = async (database: Database): Promise<string> =>
    (await imagesOn(database).images.createImage(bob, request)).image.id;
  expect(await again(open())).toBe(own.image.id);
  expect(await again(forgetful(true).database)).toBe(own.image.id);
  // The first one is alice's.
  expect(await again(forgetful(false).database)).toBe(imageId);
  await imagesOn(open()).images.deleteImage(bob, { imageId: own.image.id, etag: '' });
});

test('a project that an image is shared with is shown it, and itself among its members', async () => {
  const carol = { ...bob, projectId: 'carol' };
  const { database } = forgetful(true);
  expect((await readImage(database, carol, sharedId)).id).toBe(sharedId);
  expect(await furtherReads['the members of an image']!(database, carol)).toBe(1);
  expect(await furtherReads['the members of an image']!(database, alice)).toBe(1);
  await expect(readImage(database, carol, imageId)).rejects.toMatchObject({
    reason: 'IMAGE_NOT_FOUND',
  });
});
