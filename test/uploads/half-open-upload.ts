import { defaultCaller } from '../../src/access/caller.ts';
import type { TaskId } from '../../src/records/ids.ts';
import type {
  UploadConnection,
  UploadOutcome,
} from '../../src/uploads/receiving/upload-service.ts';
import { connection, header, readTask, type UploadWorld } from '../support/upload-world.ts';
import { committed, dataFrames } from './complete-upload.ts';
import { PushedFrames } from './pushed-frames.ts';

/** A stream that has committed the first bytes of an image, and says nothing more until a test lets it. */
export interface HalfOpenUpload {
  readonly frames: PushedFrames;
  /** An end that nobody awaits is no failure of the test. */
  readonly upload: Promise<UploadOutcome>;
}

/** Begins a stream where the task is, and waits until the first `length` bytes of `data` are committed. */
export async function startHalfOpen(
  world: UploadWorld,
  taskId: TaskId,
  data: Uint8Array,
  length: number,
  options: { readonly writerEpoch?: number; readonly connection?: UploadConnection } = {},
): Promise<HalfOpenUpload> {
  const { committedSize } = await readTask(world.database, taskId);
  const frames = new PushedFrames(
    header(taskId, options.writerEpoch),
    ...dataFrames(data, committedSize, length),
  );
  const upload = world.uploads.receive(defaultCaller, frames, options.connection ?? connection());
  upload.catch(() => {});
  await committed(world.database, taskId, length);
  return { frames, upload };
}
