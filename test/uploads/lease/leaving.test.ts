import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { defaultCaller } from '../../../src/access/caller.ts';
import type { Database } from '../../../src/database/database.ts';
import type { Statement } from '../../../src/database/statement.ts';
import { deleteImage } from '../../../src/images/delete-image.ts';
import type { ImageId, TaskId } from '../../../src/records/ids.ts';
import { useDatabase } from '../../support/test-database.ts';
import {
  failureOf,
  openUploadWorld,
  queueImage,
  readTask,
  type UploadWorld,
} from '../../support/upload-world.ts';
import { resumeAndFinish, expectActive } from '../complete-upload.ts';
import { startHalfOpen } from '../half-open-upload.ts';

const database = useDatabase();
const data = randomBytes(300_000);

/** What is done just before a stream that has ended lets go of its lease. */
type BeforeDetaching = (ids: { taskId: TaskId; imageId: ImageId }) => Promise<unknown>;

/** Uploads the first 100,000 bytes in a stream that ends without a finish. */
async function leave(before: BeforeDetaching): Promise<{
  world: UploadWorld;
  taskId: TaskId;
  imageId: ImageId;
  upload: Promise<unknown>;
}> {
  const { taskId, imageId } = await queueImage(database());
  const wrapDatabase = (real: Database): Database =>
    Object.create(real, {
      run: {
        value: async (statement: Statement) => {
          if (statement.name === 'detach-writer') {
            await before({ taskId, imageId });
          }
          return real.run(statement);
        },
      },
      runForProjects: { value: (statement: Statement) => real.runForProjects(statement) },
      fork: { value: () => real.fork() },
      pool: { value: real.pool },
    }) as Database;
  const world = await openUploadWorld(database(), { wrapDatabase });
  const { frames, upload } = await startHalfOpen(world, taskId, data, 100_000);
  frames.end();
  return { world, taskId, imageId, upload };
}

test('a stream that ends when another writer has its upload is told so, though it had nothing to commit', async () => {
  const other = await openUploadWorld(database());
  const { upload } = await leave(({ taskId }) =>
    other.uploads.resume(defaultCaller, taskId, 'the next one'),
  );
  expect(await failureOf(upload)).toMatchObject({
    reason: 'WRITER_FENCED',
    metadata: { writer_epoch: '2', committed_size: '100000' },
  });
});

test('a stream that ends when its task has ended is told so', async () => {
  const { upload } = await leave(({ imageId }) =>
    deleteImage(database(), defaultCaller, { imageId, etag: '' }, () => {}),
  );
  expect(await failureOf(upload)).toMatchObject({ reason: 'TASK_TERMINAL' });
});

test('a stream whose letting go is done twice, since its first answer was lost, ends well', async () => {
  const detached = `update tasks set writer_process_id = null, writer_peer = null, writer_since = null where id = $1`;
  const { world, taskId, imageId, upload } = await leave((ids) =>
    database().pool.query(detached, [ids.taskId]),
  );
  expect(await upload).toMatchObject({ complete: false, committedSize: 100_000 });
  expect(await readTask(database(), taskId)).toMatchObject({ writerEpoch: 1 });
  await resumeAndFinish(world, taskId, data);
  await expectActive(world, imageId, data);
});
