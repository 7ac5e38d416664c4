import type { Transform } from 'node:stream';
import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import type { Compression } from '../records/image.ts';
import { CompressionError } from './compression-error.ts';
import { decodeInThread } from './decoder-thread.ts';
import { cutAtFrames } from './zstd-frames.ts';

export type { Compression };

/** The most that a decoder keeps of what it wrote, as an exponent of two: 128 MiB, as much as `zstd -d` takes. */
const zstdWindowLog = 27;

/** Whether the end of the input is that of the stream, or the stream goes on and no more of it is known. */
export type InputExtent = 'whole' | 'beginning';

/**
 * Decompresses a stream as its own program does: members, streams and frames that follow each other are one,
 * and checksums are checked. Off the event loop, in bounded memory, and not ahead of who reads. What is read
 * before an error is no more than a beginning.
 *
 * Of xz the check sha256, the filters for machine code and dictionaries above 64 MiB are not known.
 *
 * @param input is read to its end, or returned when the output is.
 * @param extent of a beginning all is decompressed that can be.
 * @throws CompressionError; what `input` throws.
 */
export function decompress(
  compression: Compression,
  input: AsyncIterable<Uint8Array>,
  extent: InputExtent = 'whole',
): AsyncGenerator<Uint8Array, void, undefined> {
  const isWhole = extent === 'whole';
  switch (compression) {
    case 'gzip':
      return decodeByZlib(
        createGunzip({ finishFlush: isWhole ? constants.Z_FINISH : constants.Z_SYNC_FLUSH }),
        input,
      );
    case 'zstd':
      return decodeByZlib(
        createZstdDecompress({
          finishFlush: isWhole ? constants.ZSTD_e_end : constants.ZSTD_e_flush,
          params: { [constants.ZSTD_d_windowLogMax]: zstdWindowLog },
        }),
        cutAtFrames(input),
      );
    case 'xz':
    case 'bzip2':
      return decodeInThread({ compression, extent }, input);
  }
}

/** A decoder of Node's. */
interface ZlibDecoder extends Transform {
  /** Bytes that it has taken up. */
  readonly bytesWritten: number;
}

async function* decodeByZlib(
  decoder: ZlibDecoder,
  input: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const feeding = feed(decoder, input);
  feeding.catch((error: unknown) => {
    decoder.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    for await (const chunk of decoder as AsyncIterable<Uint8Array>) {
      yield chunk;
    }
    await feeding;
  } catch (error) {
    throw problemOf(error) ?? error;
  } finally {
    decoder.destroy();
  }
}

/**
 * Gives a decoder what comes. Where a stream has ended and no other one begins, Node's decoders end too, and
 * drop without a word whatever comes then: so it is counted what they take up. Only zeros, with which
 * tapes are filled up, may be left.
 */
async function feed(decoder: ZlibDecoder, input: AsyncIterable<Uint8Array>): Promise<void> {
  let isOver = false;
  for await (const chunk of input) {
    let rest = chunk;
    if (!isOver && chunk.byteLength > 0) {
      const before = decoder.bytesWritten;
      await write(decoder, chunk);
      rest = chunk.subarray(decoder.bytesWritten - before);
      isOver = rest.byteLength > 0;
    }
    if (decoder.destroyed && !decoder.readableEnded) {
      return;
    }
    if (!rest.every((byte) => byte === 0)) {
      throw new CompressionError('damaged');
    }
  }
  if (!isOver) {
    decoder.end();
  }
}

/** Resolves when the bytes were taken up, or never will be. */
function write(decoder: ZlibDecoder, data: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      decoder.off('close', done);
      resolve();
    };
    decoder.on('close', done);
    decoder.write(data, done);
  });
}

function problemOf(error: unknown): CompressionError | undefined {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'Z_BUF_ERROR') {
    return new CompressionError('cut short', { cause: error });
  }
  if (code === 'ZSTD_error_frameParameter_windowTooLarge' || code === 'Z_MEM_ERROR') {
    return new CompressionError('beyond reason', { cause: error });
  }
  return code.startsWith('Z_') || code.startsWith('ZSTD_')
    ? new CompressionError('damaged', { cause: error })
    : undefined;
}
