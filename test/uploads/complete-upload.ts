import { expect } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { defaultCaller } from '../../src/access/caller.ts';
import type { ImageId, TaskId } from '../../src/records/ids.ts';
import type { UploadFrame } from '../../src/uploads/receiving/upload-frame.ts';
import { untilTask } from '../support/until-task.ts';
import {
  chunk,
  connection,
  download,
  finish,
  framesOf,
  header,
  readImage,
  readTask,
  sha256,
  type UploadWorld,
} from '../support/upload-world.ts';

/** The frames of `data` from `start` on, without a header. */
export function dataFrames(data: Uint8Array, start = 0, end = data.length): UploadFrame[] {
  const frames: UploadFrame[] = [];
  for (let offset = start; offset < end; offset += 100_000) {
    frames.push(chunk(offset, data.subarray(offset, Math.min(end, offset + 100_000))));
  }
  return frames;
}

/** Resumes an upload, sends what is missing and finishes. */
export async function resumeAndFinish(
  world: UploadWorld,
  taskId: TaskId,
  data: Uint8Array,
): Promise<void> {
  const { committedSize, writerEpoch } = await world.uploads.resume(defaultCaller, taskId, 'test');
  const frames = dataFrames(data, committedSize);
  const outcome = await world.uploads.receive(
    defaultCaller,
    framesOf(header(taskId, writerEpoch), ...frames, finish(data.length, sha256(data))),
    connection(),
  );
  const { published, ...rest } = outcome;
  expect(rest).toEqual({ taskId, committedSize: data.length, complete: true, writerEpoch });
  // What the sender is told of them without reading them again.
  expect(published).toEqual({
    image: await readImage(world.database, published!.image.id),
    task: await readTask(world.database, taskId),
  });
}

/** Fails unless the image is ACTIVE with just these bytes. */
export async function expectActive(
  world: UploadWorld,
  imageId: ImageId,
  data: Uint8Array,
): Promise<void> {
  expect(await readImage(world.database, imageId)).toMatchObject({
    state: 'ACTIVE',
    outlook: 'AVAILABLE',
    sizeBytes: data.length,
    sha256: sha256(data),
  });
  expect((await download(world, imageId)).equals(data)).toBe(true);
}

/** Resolves once a task has committed just so many bytes. */
export async function committed(database: Database, taskId: TaskId, size: number): Promise<void> {
  await untilTask(database, taskId, 'committed_size = $2', size);
}
