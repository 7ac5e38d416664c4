import pg from 'pg';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { ImageMembers } from '../../src/images/image-members.ts';
import type { ImageId, TaskId } from '../../src/records/ids.ts';
import { cancelTask } from '../../src/tasks/control/cancel-task.ts';
import { reportFault, reportProgress } from '../../src/tasks/control/producer-reports.ts';
import { retryTask } from '../../src/tasks/control/retry-task.ts';
import { alice, bob, change, imagesOn, newImage } from '../images/images-world.ts';
import { useDatabase } from '../support/test-database.ts';
import { openUploadWorld, readImage, readTask } from '../support/upload-world.ts';

const open = useDatabase();

let imageId: ImageId;
let taskId: TaskId;

beforeEach(async () => {
  const { images } = imagesOn(open());
  // Everybody sees it, and may change it no more for that.
  const made = await images.createImage(alice, newImage({ visibility: 'SHARED' }));
  imageId = made.image.id;
  taskId = made.task!.task.id;
});

/** A condition by which a statement asks whose row it finds: with a parameter, or with the value that MikroORM has written in. */
const whose = /\b(?:\w+\.)?"?project_id"? = (asked_project|'darkroom-[ab]')/g;

/** Has every statement forget it. Answers how many conditions were forgotten. */
function forgetWhose(): () => number {
  let forgotten = 0;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called on its client
  const query = pg.Client.prototype.query as (...args: unknown[]) => unknown;
  const without = (text: string): string =>
    text.replace(whose, () => {
      forgotten += 1;
      return 'true';
    });
  const spy = vi.spyOn(pg.Client.prototype, 'query').mockImplementation(function (
    this: pg.Client,
    first: unknown,
    ...rest: unknown[]
  ): unknown {
    const forgetful =
      typeof first === 'string'
        ? without(first)
        : Object.assign(Object.create(first as object) as { name?: string; text: string }, {
            text: without((first as { text: string }).text),
            // Not what was prepared before.
            ...('name' in (first as object) && { name: `f ${(first as { name: string }).name}` }),
          });
    return query.call(this, forgetful, ...rest);
  });
  onTestFinished(() => spy.mockRestore());
  return () => forgotten;
}

async function changes() {
  const world = await openUploadWorld(open());
  const { ledger, uploads } = world;
  const { images } = imagesOn(open());
  const members = new ImageMembers(open(), { maxImageMembers: 5 });
  const parts = { ledger, onBlobsReleased: () => {}, onImportDue: () => {} };
  return {
    UpdateImage: (caller) => images.updateImage(caller, change(imageId, { name: 'other' })),
    DeleteImage: (caller) => images.deleteImage(caller, { imageId, etag: '' }),
    AddImageMember: (caller) => members.add(caller, { imageId, memberProjectId: 'carol' }),
    CancelTask: (caller) => cancelTask(parts, caller, { taskId, reason: '' }),
    ReportProgress: (caller) =>
      reportProgress(ledger, caller, {
        taskId,
        message: 'other',
        bytesDone: undefined,
        bytesTotal: undefined,
      }),
    ReportFault: (caller) =>
      reportFault(ledger, caller, {
        taskId,
        code: 13,
        reason: 'X',
        message: 'x',
        detail: '',
        fatal: false,
      }),
    ResumeUpload: (caller) => uploads.resume(caller, taskId, 'test'),
  } satisfies Record<string, (caller: typeof alice) => Promise<unknown>>;
}

const names = [
  'UpdateImage',
  'DeleteImage',
  'AddImageMember',
  'CancelTask',
  'ReportProgress',
  'ReportFault',
  'ResumeUpload',
] as const;

describe('where a change forgets to ask whose the row is that it finds and locks, PostgreSQL does not', () => {
  test.each(names)('%s', async (name) => {
    const call = (await changes())[name];
    const before = [await readImage(open(), imageId), await readTask(open(), taskId)];
    const forgotten = forgetWhose();
    await expect(call(bob)).rejects.toMatchObject({
      reason: expect.stringMatching(/^(IMAGE|TASK)_NOT_FOUND$/) as string,
    });
    expect(forgotten()).toBeGreaterThan(0);
    expect([await readImage(open(), imageId), await readTask(open(), taskId)]).toEqual(before);
    await call(alice);
  });

  test('RetryTask', async () => {
    const { ledger } = await openUploadWorld(open());
    const parts = { ledger, onBlobsReleased: () => {}, onImportDue: () => {} };
    await cancelTask(parts, alice, { taskId, reason: '' });
    const forgotten = forgetWhose();
    await expect(retryTask(parts, bob, { taskId, requestId: '' })).rejects.toMatchObject({
      reason: 'TASK_NOT_FOUND',
    });
    expect(forgotten()).toBeGreaterThan(0);
    await retryTask(parts, alice, { taskId, requestId: '' });
  });

  test('nor of an image that everybody sees', async () => {
    const { images } = imagesOn(open());
    await images.updateImage(alice, change(imageId, { visibility: 'PUBLIC' }));
    forgetWhose();
    await expect(images.updateImage(bob, change(imageId, { name: 'other' }))).rejects.toMatchObject(
      { reason: 'IMAGE_NOT_OWNED' },
    );
    expect((await readImage(open(), imageId)).name).toBe('ubuntu');
  });
});

test('the same calls would change it, if there were no wall', async () => {
  // As its owner, PostgreSQL shows the service all rows: it is the function, and the role, that find none.
  await open().pool.query(`
    do $$
    begin
      execute format('alter function own_image owner to %I', current_user);
      execute format('alter function own_task owner to %I', current_user);
    end $$`);
  onTestFinished(async () => {
    await open().pool.query('alter function own_image owner to darkroom_tenant');
    await open().pool.query('alter function own_task owner to darkroom_tenant');
  });
  const { CancelTask } = await changes();
  forgetWhose();
  await CancelTask(bob);
  expect((await readTask(open(), taskId)).state).toBe('CANCELLED');
});
