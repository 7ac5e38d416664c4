import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { ClientCalls } from '../calls/client-calls.ts';
import type { Arithmetic } from '../calls/platform.ts';
import { randomId } from '../calls/random-id.ts';
import { sendByChunks } from './chunk-road.ts';
import { sendByStream } from './stream-road.ts';
import { Upload, type UploadAim, type UploadRoad } from './upload.ts';
import type { NewImage, UploadOptions, UploadResult } from './upload-options.ts';
import { openSource, type OpenedSource, type UploadSource } from './upload-source.ts';

/** What uploads need of a platform. */
export interface UploadPlatform {
  readonly arithmetic: Arithmetic;
  readonly road: UploadRoad;
  readonly openPath: (path: string) => Promise<OpenedSource>;
}

/** One stream for all pieces. */
export const streamRoad: UploadRoad = {
  send: sendByStream,
  chunkBytes: ({ recommendedChunkBytes }) => recommendedChunkBytes,
  isStream: true,
};

/** A call for each piece, which is answered when it is durable: the fewer the better. */
export const chunkRoad: UploadRoad = {
  send: sendByChunks,
  chunkBytes: ({ maxChunkBytes }) => maxChunkBytes,
  isStream: false,
};

/**
 * Brings the bytes of an image, and resolves when it is ACTIVE.
 *
 * @throws DarkroomError: the upload can be gone on with by its task's id, unless that is terminal; the signal's reason, likewise
 */
export async function uploadImage(
  calls: ClientCalls,
  platform: UploadPlatform,
  source: UploadSource,
  options: UploadOptions,
): Promise<UploadResult> {
  const opened = await openSource(source, platform.openPath);
  try {
    const aim: UploadAim =
      'taskId' in options
        ? { kind: 'begun', taskId: options.taskId }
        : newImage(options, opened.size ?? options.size, options.sha256);
    const { arithmetic, road } = platform;
    return await new Upload(calls, arithmetic, road, opened, aim, options).run();
  } finally {
    await opened.close();
  }
}

function newImage(
  { image, requestId, imageId, idleTimeoutMs, decompress = false }: NewImage,
  size: number | undefined,
  sha256: string | undefined,
): UploadAim {
  const stated = {
    ...(size !== undefined && { totalSize: BigInt(size) }),
    ...(sha256 !== undefined && { sha256 }),
    decompress,
  };
  return {
    kind: 'new',
    request: {
      image,
      // The same for each try of this upload.
      requestId: requestId ?? randomId(),
      ...(imageId !== undefined && { imageId }),
      ...(idleTimeoutMs !== undefined && { idleTimeout: durationFromMs(idleTimeoutMs) }),
      source: { case: 'upload', value: stated },
    },
  };
}
