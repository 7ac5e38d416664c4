import { pipeline, Readable, type Duplex } from 'node:stream';
import { constants, createGunzip, createZstdDecompress } from 'node:zlib';
import { CompressionError } from './compression-error.ts';
import { decodeInThread } from './decoder-thread.ts';
import { cutAtFrames } from './zstd-frames.ts';

/** A format of one compressed file. */
export type Compression = 'gzip' | 'xz' | 'zstd' | 'bzip2';

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

async function* decodeByZlib(
  decoder: Duplex,
  input: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  // Its errors come out of the decoder.
  pipeline(Readable.from(input, { highWaterMark: 1 }), decoder, () => {});
  try {
    for await (const chunk of decoder as AsyncIterable<Uint8Array>) {
      yield chunk;
    }
  } catch (error) {
    throw problemOf(error) ?? error;
  }
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
