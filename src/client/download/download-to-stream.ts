import { endingWith, type ClientCalls } from '../calls/client-calls.ts';
import { DarkroomError } from '../calls/client-error.ts';
import type { Arithmetic } from '../calls/platform.ts';
import { Image_State, type Image } from '../../../gen/darkroom/v1/image_pb.ts';
import { DownloadMeter } from './download-meter.ts';
import type { DownloadOptions, DownloadResult, WritableLike } from './download-options.ts';
import { readImage } from './read-image.ts';

const zeros = new Uint8Array(1024 * 1024);

/** Where bytes go in order. */
interface Sink {
  write(bytes: Uint8Array): Promise<void>;
  end(): Promise<void>;
  fail(error: Error): Promise<void>;
}

/**
 * The image that is to be read.
 *
 * @throws DarkroomError IMAGE_STATE_INVALID where it has no bytes; IMAGE_NOT_FOUND and others of the service
 */
export async function requireActive(
  calls: ClientCalls,
  imageId: string,
  signal: AbortSignal | undefined,
): Promise<{ readonly image: Image; readonly sizeBytes: number }> {
  const { image } = await calls.images.getImage({ imageId }, endingWith(signal));
  if (image?.sizeBytes === undefined || image.state !== Image_State.ACTIVE) {
    throw new DarkroomError(
      'IMAGE_STATE_INVALID',
      `Image ${imageId} is not ACTIVE: there are no bytes to be read.`,
    );
  }
  return { image, sizeBytes: Number(image.sizeBytes) };
}

/**
 * Writes an image to a stream, in order, holes as zeros. The stream is ended only if the digest agrees.
 *
 * @throws DarkroomError DIGEST_MISMATCH, TARGET_UNWRITABLE; as readImage; the signal's reason
 */
export async function downloadToStream(
  calls: ClientCalls,
  arithmetic: Arithmetic,
  imageId: string,
  target: WritableStream<Uint8Array> | WritableLike,
  options: DownloadOptions = {},
): Promise<DownloadResult> {
  const sink = 'getWriter' in target ? webSink(target) : nodeSink(target);
  try {
    const { sizeBytes } = await requireActive(calls, imageId, options.signal);
    const meter = new DownloadMeter(sizeBytes, options.onProgress);
    const digest = arithmetic.sha256();
    const parts = readImage(calls, imageId, {
      ...options,
      onConnection: (connection) => meter.connection(connection),
    });
    let next = await parts.next();
    for (; next.done !== true; next = await parts.next()) {
      const part = next.value;
      if (part.kind === 'data') {
        digest.update(part.data);
        await sink.write(part.data);
      } else {
        for (let left = part.length; left > 0; left -= zeros.length) {
          const some = left < zeros.length ? zeros.subarray(0, left) : zeros;
          digest.update(some);
          await sink.write(some);
        }
      }
      meter.came(part);
    }
    const sha256 = digest.hex();
    requireSame(imageId, next.value.sha256, sha256);
    await sink.end();
    meter.step('done');
    const { receivedBytes, holeBytes } = meter;
    return { sizeBytes: next.value.sizeBytes, sha256, receivedBytes, holeBytes };
  } catch (error) {
    await sink.fail(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

/** @throws DarkroomError DIGEST_MISMATCH */
export function requireSame(imageId: string, stated: string, computed: string): void {
  if (stated !== computed) {
    throw new DarkroomError(
      'DIGEST_MISMATCH',
      `What came of image ${imageId} has the sha256 ${computed}, and the image ${stated}.`,
      { origin: 'client' },
    );
  }
}

/** A target's own failure. */
export function unwritable(cause: unknown): DarkroomError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new DarkroomError('TARGET_UNWRITABLE', `The target could not be written: ${why}`, {
    cause,
  });
}

function webSink(target: WritableStream<Uint8Array>): Sink {
  const writer = target.getWriter();
  // Told by what waits for it.
  writer.closed.catch(() => undefined);
  const telling = async (done: Promise<unknown>): Promise<void> => {
    try {
      await done;
    } catch (cause) {
      throw unwritable(cause);
    }
  };
  return {
    write: (bytes) => telling(writer.ready.then(() => writer.write(bytes))),
    end: () => telling(writer.close()),
    fail: (error) => writer.abort(error).catch(() => undefined),
  };
}

function nodeSink(target: WritableLike): Sink {
  let failure: Error | undefined;
  let fail: (error: Error) => void = () => undefined;
  target.once('error', (error) => {
    failure = error;
    fail(error);
  });
  const settled = (begin: (done: (error?: Error | null) => void) => unknown): Promise<void> =>
    new Promise((resolve, reject) => {
      fail = (error) => reject(unwritable(error));
      if (failure !== undefined) {
        fail(failure);
        return;
      }
      begin((error) => (error ? reject(unwritable(error)) : resolve()));
    });
  return {
    write: (bytes) => settled((done) => target.write(bytes, done)),
    end: () => settled((done) => target.end(done)),
    fail: (error) => {
      if (failure === undefined) {
        target.destroy(error);
      }
      return Promise.resolve();
    },
  };
}
