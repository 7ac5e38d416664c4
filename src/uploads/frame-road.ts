import { DarkroomError } from '../domain/darkroom-error.ts';
import type { FinishClaim } from './finish-claim.ts';
import type { SucceededUpload } from './succeeded-upload.ts';
import {
  assertSound,
  frameOrder,
  type ChunkFrame,
  type HoleFrame,
  type UploadFrame,
} from './upload-frame.ts';
import type { UploadSession } from './upload-session.ts';

const framePaths = { offset: 'chunk.offset', data: 'chunk.data', length: 'hole.length' };
const holePaths = { offset: 'hole.offset', data: 'chunk.data', length: 'hole.length' };
/** Where the fields of a chunk or hole are in an UploadChunkRequest. */
export const callPaths = { offset: 'offset', data: 'data', length: 'hole_length' };

/**
 * A session takes the frames of a stream. Answers the finish, if one came.
 *
 * @param next the next frame; undefined at the stream's end.
 * @throws DarkroomError FRAME_ORDER, FIELD_INVALID, CHUNK_TOO_LARGE, CHUNK_CHECKSUM_MISMATCH; what the session and `next` throw.
 */
export async function receiveFrames(
  session: UploadSession,
  next: () => Promise<UploadFrame | undefined>,
  maxChunkBytes: number,
): Promise<FinishClaim | undefined> {
  let coming = next();
  for (;;) {
    const frame = await coming;
    if (!frame) {
      return undefined;
    }
    if (frame.kind === 'finish') {
      return await endAfterFinish(frame, next);
    }
    assertData(frame);
    // The next frame is read from the network while this one is written.
    coming = next();
    coming.catch(() => {});
    assertSound(frame, maxChunkBytes, frame.kind === 'hole' ? holePaths : framePaths);
    await take(session, frame);
  }
}

/**
 * Compares the frames of a stream with an upload that is done. Answers the finish, if one came.
 *
 * @throws as receiveFrames
 */
export async function compareFrames(
  upload: SucceededUpload,
  next: () => Promise<UploadFrame | undefined>,
): Promise<FinishClaim | undefined> {
  for (let frame = await next(); frame; frame = await next()) {
    if (frame.kind === 'finish') {
      return await endAfterFinish(frame, next);
    }
    assertData(frame);
    await compare(upload, frame);
  }
  return undefined;
}

/** "Nothing may follow a finish." A connection that breaks after it takes nothing back. */
async function endAfterFinish(
  finish: FinishClaim,
  next: () => Promise<UploadFrame | undefined>,
): Promise<FinishClaim> {
  let after: UploadFrame | undefined;
  try {
    after = await next();
  } catch (error) {
    const isGone =
      error instanceof DarkroomError &&
      (error.reason === 'CONNECTION_LOST' || error.reason === 'STREAM_IDLE');
    if (isGone) {
      return finish;
    }
    throw error;
  }
  if (after) {
    throw frameOrder(`A ${after.kind} came after the finish`, 'the end of the stream');
  }
  return finish;
}

/** A session takes a frame. */
export async function take(session: UploadSession, frame: ChunkFrame | HoleFrame): Promise<void> {
  if (frame.kind === 'chunk') {
    await session.append(frame.offset, frame.data);
  } else {
    await session.appendHole(frame.offset, frame.length);
  }
}

/** An upload that is done is compared with a frame. */
export async function compare(
  upload: SucceededUpload,
  frame: ChunkFrame | HoleFrame,
): Promise<void> {
  await upload.compare(frame.offset, frame.kind === 'chunk' ? frame.data : frame.length);
}

function assertData(frame: UploadFrame): asserts frame is ChunkFrame | HoleFrame {
  if (frame.kind === 'header') {
    throw frameOrder('A second header came', 'a chunk, a hole or the finish');
  }
  if (frame.kind === 'empty' || frame.kind === 'finish') {
    throw frameOrder(`A frame that is ${frame.kind} came`, 'a chunk, a hole or the finish');
  }
}
