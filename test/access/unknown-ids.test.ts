import pg from 'pg';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { downloadImage } from '../../src/images/download-image.ts';
import { ImageMembers } from '../../src/images/image-members.ts';
import { ImageMember } from '../../src/records/image-member.ts';
import type { ImageId, TaskId } from '../../src/records/ids.ts';
import { cancelTask } from '../../src/tasks/control/cancel-task.ts';
import { reportFault, reportProgress } from '../../src/tasks/control/producer-reports.ts';
import { retryTask } from '../../src/tasks/control/retry-task.ts';
import { getTask, listFaults, listTaskEvents } from '../../src/tasks/reading/task-queries.ts';
import { watchTask } from '../../src/tasks/watching/watch-task.ts';
import {
  alice,
  bob,
  change,
  failureOf,
  imagesOn,
  listOf,
  newImage,
  unknownId,
} from '../images/images-world.ts';
import { startWatchProcess } from '../tasks/task-fixtures.ts';
import { readAll } from '../support/failures.ts';
import { useOpenDatabase } from '../support/test-database.ts';
import { downloadsOf, openUploadWorld } from '../support/upload-world.ts';

const open = useOpenDatabase();

/** Each statement that PostgreSQL was sent, but for its values. */
const statements: string[] = [];

beforeAll(() => {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called on its client
  const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
  const spy = vi.spyOn(pg.Client.prototype, 'query').mockImplementation(function (
    this: pg.Client,
    ...args: unknown[]
  ): unknown {
    const [first] = args as [string | { text: string }];
    const text = typeof first === 'string' ? first : first.text;
    // Not what is done beside the calls: signs of life of the process, the poll of watches, and new connections.
    if (!/(update|into) processes|\bt\.update_time\b|listen|pg_has_role|set role/.test(text)) {
      // MikroORM writes values into its statements.
      statements.push(text.replaceAll(/'[0-9a-f-]{36}'/g, 'an id'));
    }
    return query.apply(this, args);
  });
  return () => spy.mockRestore();
});

/** What a call that is refused has done in the database. */
async function statementsOf(call: () => Promise<unknown>, reason: string): Promise<string[]> {
  statements.length = 0;
  expect((await failureOf(call())).reason).toBe(reason);
  return [...statements];
}

async function world() {
  const { database, url } = open();
  const upload = await openUploadWorld(database);
  const { images } = imagesOn(database);
  const { trails } = startWatchProcess({ database, url });
  const { ledger, uploads } = upload;
  const members = new ImageMembers(database, { maxImageMembers: 5 });
  const parts = { ledger, onBlobsReleased: () => {}, onImportDue: () => {} };
  const signals = {
    signal: new AbortController().signal,
    drainSignal: new AbortController().signal,
  };
  const page = { pageSize: 0, pageToken: '' };
  const memberProjectId = 'x';
  const copyOf = (imageId: string) =>
    ({
      ...newImage().source!,
      kind: 'copy_from',
      from: { kind: 'image', imageId },
      sha512: undefined,
      maxSizeBytes: undefined,
      headers: {},
    }) as const;
  return {
    database,
    images,
    ofImages: {
      GetImage: (imageId) => images.getImage(bob, imageId),
      DownloadImage: (imageId) =>
        readAll(
          downloadImage(downloadsOf(upload), bob, imageId as ImageId, {
            offset: 0,
            length: undefined,
          }),
        ),
      UpdateImage: (imageId) => images.updateImage(bob, change(imageId, { name: 'x' })),
      DeleteImage: (imageId) => images.deleteImage(bob, { imageId, etag: '' }),
      'CreateImage as a copy': (imageId) =>
        images.createImage(bob, newImage({}, { source: copyOf(imageId) })),
      AddImageMember: (imageId) => members.add(bob, { imageId, memberProjectId }),
      ListImageMembers: (imageId) => members.list(bob, { imageId, ...page }),
      GetImageMember: (imageId) => members.get(bob, { imageId, memberProjectId }),
      UpdateImageMember: (imageId) =>
        members.update(bob, {
          imageId,
          memberProjectId: bob.projectId,
          status: 'ACCEPTED',
          etag: '',
          paths: ['status'],
        }),
      RemoveImageMember: (imageId) => members.remove(bob, { imageId, memberProjectId }),
      ListFaults: (imageId) =>
        listFaults(database, bob, { of: { kind: 'image', imageId }, ...page }),
    } satisfies Record<string, (id: string) => Promise<unknown>>,
    ofTasks: {
      GetTask: (taskId) => getTask(database, bob, taskId),
      ListFaults: (taskId) => listFaults(database, bob, { of: { kind: 'task', taskId }, ...page }),
      ListTaskEvents: (taskId) => listTaskEvents(database, bob, { taskId, ...page }),
      WatchTask: (taskId) =>
        readAll(
          watchTask(
            trails,
            bob,
            {
              taskId,
              resumeToken: '',
              progressIntervalMs: undefined,
              heartbeatIntervalMs: undefined,
            },
            signals,
          ),
        ),
      CancelTask: (taskId) => cancelTask(parts, bob, { taskId, reason: '' }),
      RetryTask: (taskId) => retryTask(parts, bob, { taskId, requestId: '' }),
      ReportProgress: (taskId) =>
        reportProgress(ledger, bob, {
          taskId,
          message: 'x',
          bytesDone: undefined,
          bytesTotal: undefined,
        }),
      ReportFault: (taskId) =>
        reportFault(ledger, bob, {
          taskId,
          code: 13,
          reason: 'X',
          message: 'x',
          detail: '',
          fatal: false,
        }),
      ResumeUpload: (taskId) => uploads.resume(bob, taskId as TaskId, 'test'),
    } satisfies Record<string, (id: string) => Promise<unknown>>,
  };
}

describe('for an id of another project the database is asked just what it is asked for an unknown one', () => {
  test('by each call that takes an image', async () => {
    const { database, images, ofImages } = await world();
    const make = async (visibility: string): Promise<string> =>
      (await images.createImage(alice, newImage({ visibility }))).image.id;
    const shared = await make('SHARED');
    await database.fork().insert(ImageMember, {
      imageId: shared as ImageId,
      memberProjectId: 'somebody',
      status: 'ACCEPTED',
      version: 1,
      createTime: new Date(),
      updateTime: new Date(),
    });
    const deleted = await make('PUBLIC');
    await images.deleteImage(alice, { imageId: deleted, etag: '' });
    const foreign = { PRIVATE: await make('PRIVATE'), SHARED: shared, deleted };
    for (const [name, call] of Object.entries(ofImages)) {
      const unknown = await statementsOf(() => call(unknownId()), 'IMAGE_NOT_FOUND');
      expect(unknown, name).not.toEqual([]);
      for (const [kind, id] of Object.entries(foreign)) {
        const others = await statementsOf(() => call(id), 'IMAGE_NOT_FOUND');
        expect(others, `${name} of one that is ${kind}`).toEqual(unknown);
      }
    }
  });

  test('by each call that takes a task', async () => {
    const { images, ofTasks } = await world();
    const { task } = await images.createImage(alice, newImage());
    for (const [name, call] of Object.entries(ofTasks)) {
      const unknown = await statementsOf(() => call(unknownId()), 'TASK_NOT_FOUND');
      expect(unknown, name).not.toEqual([]);
      expect(await statementsOf(() => call(task!.task.id), 'TASK_NOT_FOUND'), name).toEqual(
        unknown,
      );
    }
  });

  test('and lists ask the same whatever others have', async () => {
    const { images } = await world();
    statements.length = 0;
    await images.listImages(bob, listOf());
    const before = [...statements];
    await images.createImage(alice, newImage({ visibility: 'SHARED' }));
    statements.length = 0;
    await images.listImages(bob, listOf());
    expect(statements).toEqual(before);
  });
});
