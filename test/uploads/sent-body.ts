import { defaultCaller } from '../../src/access/caller.ts';
import type { TaskId } from '../../src/records/ids.ts';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import type { UploadBody } from '../../src/uploads/receiving/upload-body.ts';
import type { ChunkFrame } from '../../src/uploads/receiving/upload-frame.ts';
import type { UploadOutcome } from '../../src/uploads/receiving/upload-service.ts';
import { chunk, connection, type UploadWorld } from '../support/upload-world.ts';

/** What a body of a test says of itself, and how it ends. */
export interface SentBody {
  /** Where its first byte belongs; it says so, where this is given. */
  readonly at?: number;
  /** Bytes of the whole image, as its sender says. */
  readonly size?: number;
  readonly sha256?: string;
  readonly sha512?: string;
  readonly sha256AtEnd?: string;
  /** Its own bytes, as its sender says. */
  readonly length?: number;
  readonly isLast?: boolean;
  readonly purpose?: 'publish' | 'stage';
  /** Whether the connection breaks after the bytes. */
  readonly breaks?: boolean;
  readonly writerEpoch?: number;
}

const pieceBytes = 100_000;

/** Sends bytes as a body of HTTP would bring them. */
export function sendBody(
  { uploads }: Pick<UploadWorld, 'uploads'>,
  taskId: TaskId,
  bytes: Uint8Array,
  sent: SentBody = {},
): Promise<UploadOutcome> {
  const { at, size, sha256, sha512, purpose = 'publish' } = sent;
  const body: UploadBody = {
    taskId,
    writerEpoch: sent.writerEpoch,
    terms: { stated: { size, sha256, sha512 }, isPlaced: at !== undefined, purpose },
    offset: at ?? 0,
    length: sent.length,
    isLast: sent.isLast ?? true,
    chunks: chunksOf(bytes, at ?? 0, sent.breaks ?? false),
    sha256AtEnd: () => sent.sha256AtEnd,
  };
  return uploads.receiveBody(defaultCaller, body, connection());
}

async function* chunksOf(
  bytes: Uint8Array,
  offset: number,
  breaks: boolean,
): AsyncGenerator<ChunkFrame, void> {
  for (let from = 0; from < bytes.byteLength; from += pieceBytes) {
    await Promise.resolve();
    yield chunk(offset + from, bytes.subarray(from, from + pieceBytes));
  }
  if (breaks) {
    throw new DarkroomError('CONNECTION_LOST', 'the test cut the connection');
  }
}
