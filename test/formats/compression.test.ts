import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { CompressionError } from '../../src/formats/compression-error.ts';
import { decompress, type Compression } from '../../src/formats/compression.ts';
import { decodeInThread } from '../../src/formats/decoder-thread.ts';
import { compressed, compressedZeros, compressions } from './compressors.ts';

const KiB = 1024;
const MiB = KiB * KiB;

/** Bytes as they are on disks: some that cannot be compressed, some that can, and zeros. */
const disk = Buffer.concat([
  randomBytes(300 * KiB),
  readFileSync(new URL('../../package-lock.json', import.meta.url)),
  Buffer.alloc(MiB),
  randomBytes(1000),
]);

/** The bytes in chunks; tells when its reader has let go of it. */
class Chunks implements AsyncIterable<Uint8Array> {
  readonly #chunks: readonly Uint8Array[];
  given = 0;
  isReleased = false;

  constructor(bytes: Uint8Array, ends: readonly number[] = [bytes.byteLength]) {
    const cuts = [0, ...ends, bytes.byteLength].sort((a, b) => a - b);
    this.#chunks = cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end));
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (const chunk of this.#chunks) {
        this.given += 1;
        yield chunk;
      }
    } finally {
      this.isReleased = true;
    }
  }
}

function inPieces(bytes: Uint8Array, pieceBytes: number): Chunks {
  const count = Math.ceil(bytes.byteLength / pieceBytes);
  return new Chunks(
    bytes,
    Array.from({ length: count }, (_, index) => index * pieceBytes),
  );
}

async function contentOf(
  compression: Compression,
  bytes: Uint8Array,
  extent?: 'whole' | 'beginning',
): Promise<Buffer> {
  return Buffer.concat(
    await Array.fromAsync(decompress(compression, inPieces(bytes, 64 * KiB), extent)),
  );
}

async function problemOf(compression: Compression, bytes: Uint8Array): Promise<string | undefined> {
  const error = await contentOf(compression, bytes).catch((error: unknown) => error);
  return error instanceof CompressionError ? error.problem : undefined;
}

describe.each(compressions)('%s', (compression) => {
  const packed = compressed(compression, disk);

  test('is decompressed to what its own program compressed', async () => {
    expect((await contentOf(compression, packed)).equals(disk)).toBe(true);
    for (const level of ['-1', '-9']) {
      const other = compressed(compression, disk, level);
      expect((await contentOf(compression, other)).equals(disk)).toBe(true);
    }
  });

  test('of nothing is nothing', async () => {
    expect(await contentOf(compression, compressed(compression, Buffer.alloc(0)))).toHaveLength(0);
  });

  test('of several streams is all of them, wherever its chunks are cut', async () => {
    const parts = ['one ', 'two ', '', 'three'];
    const streams = parts.map((part) => compressed(compression, Buffer.from(part)));
    const whole = Buffer.concat(streams);
    const ends = streams.map((_, index) => Buffer.concat(streams.slice(0, index + 1)).length);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.constant([]),
          fc.constant(ends),
          fc.array(fc.nat({ max: whole.length }), { maxLength: 20 }),
        ),
        async (cuts) => {
          const content = await Array.fromAsync(decompress(compression, new Chunks(whole, cuts)));
          expect(Buffer.concat(content).toString()).toBe(parts.join(''));
        },
      ),
      { numRuns: 10 },
    );
    const bytewise = await Array.fromAsync(decompress(compression, inPieces(whole, 1)));
    expect(Buffer.concat(bytewise).toString()).toBe(parts.join(''));
  });

  test.for([0, 1, 5, 100, 300 * KiB])('cut after %i bytes is cut short', async (length) => {
    expect(await problemOf(compression, packed.subarray(0, length))).toBe('cut short');
  });

  test('without its last byte is cut short', async () => {
    expect(await problemOf(compression, packed.subarray(0, -1))).toBe('cut short');
    const second = Buffer.concat([packed, packed.subarray(0, 30)]);
    expect(await problemOf(compression, second)).toBe('cut short');
  });

  test('of which bytes were changed is damaged', async () => {
    for (const at of [100, 200 * KiB, packed.length - 20]) {
      const changed = Buffer.from(packed);
      changed.fill(0x55, at, at + 10);
      expect(await problemOf(compression, changed)).toMatch(/damaged|cut short/);
    }
  });

  test('with something else behind it is damaged', async () => {
    const more = Buffer.concat([packed, Buffer.from('something else entirely')]);
    expect(await problemOf(compression, more)).toBe('damaged');
    expect(await problemOf(compression, Buffer.from('something else entirely'))).toBe('damaged');
  });

  test('as a beginning gives what can be known of it, the same each time', async () => {
    for (const length of [0, 3, 50, 100 * KiB, packed.length - 1, packed.length]) {
      const content = await contentOf(compression, packed.subarray(0, length), 'beginning');
      expect(disk.subarray(0, content.length).equals(content)).toBe(true);
      const bytewise = decompress(
        compression,
        inPieces(packed.subarray(0, length), 777),
        'beginning',
      );
      expect(Buffer.concat(await Array.fromAsync(bytewise)).equals(content)).toBe(true);
    }
    const almost = await contentOf(compression, packed.subarray(0, -1), 'beginning');
    expect(almost.length).toBeGreaterThan(MiB);
  });

  test('is read no further than its reader reads', async () => {
    const bomb = compressedZeros(compression);
    const input = inPieces(Buffer.concat([bomb, packed, packed, packed, packed]), 4 * KiB);
    let length = 0;
    for await (const chunk of decompress(compression, input)) {
      expect(chunk.byteLength).toBeLessThanOrEqual(MiB);
      length += chunk.byteLength;
      if (length > 4 * MiB) {
        break;
      }
    }
    await expect.poll(() => input.isReleased).toBe(true);
    expect(input.given * 4 * KiB).toBeLessThan(bomb.length + packed.length);
  });

  test('passes on what its source throws', async () => {
    async function* broken() {
      yield packed.subarray(0, 1000);
      throw new Error('the disk is gone');
    }
    const content = Array.fromAsync(decompress(compression, broken()));
    await expect(content).rejects.toThrow('the disk is gone');
  });

  test('of anything is answered', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ at: fc.nat({ max: packed.length - 1 }), byte: fc.nat(255) }), {
          maxLength: 5,
        }),
        fc.uint8Array({ maxLength: 200 }),
        fc.nat({ max: 100 }),
        async (changes, garbage, keptBytes) => {
          const changed = Buffer.from(packed);
          for (const { at, byte } of changes) {
            changed[at] = byte;
          }
          const garbled = Buffer.concat([packed.subarray(0, keptBytes), garbage]);
          for (const bytes of [changed, garbled]) {
            const error = await contentOf(compression, bytes).then(
              () => undefined,
              (error: unknown) => error,
            );
            expect(error === undefined || error instanceof CompressionError).toBe(true);
          }
        },
      ),
      { numRuns: 8 },
    );
  });
});

const kinds: readonly (readonly [Compression, string, ...string[]])[] = [
  ['xz', 'unsupported', '--check=sha256'],
  ['xz', 'unsupported', '--x86', '--lzma2'],
  ['xz', 'beyond reason', '--lzma2=dict=128MiB'],
  ['zstd', 'beyond reason', '--ultra', '--long=30'],
];

test.for(kinds.filter(([compression]) => compressions.includes(compression)))(
  '%s that is %s to the decoder is told as such: %s',
  async ([compression, problem, ...options]) => {
    const bytes = compressed(compression, Buffer.alloc(3 * MiB), ...options);
    expect(await problemOf(compression, bytes)).toBe(problem);
  },
);

const usual: readonly (readonly [Compression, ...string[]])[] = [
  ['xz', '--check=none'],
  ['xz', '--check=crc32'],
  ['xz', '--block-size=100KiB', '-T2'],
  ['xz', '-9e'],
  ['zstd', '--no-check'],
  ['zstd', '--long=27'],
  ['zstd', '-19'],
  ['zstd', '--format=gzip'],
];

test.for(usual.filter(([compression]) => compressions.includes(compression)))(
  '%s as it is used is decompressed: %s',
  async ([compression, ...options]) => {
    const bytes = compressed(compression, disk, ...options);
    const actual = options.includes('--format=gzip') ? 'gzip' : compression;
    expect((await contentOf(actual, bytes)).equals(disk)).toBe(true);
  },
);

test.runIf(compressions.includes('gzip'))(
  'zeros after a gzip are padding, and nothing may come after them',
  async () => {
    const data = compressed('gzip', Buffer.from('content'));
    const padded = Buffer.concat([data, Buffer.alloc(100 * KiB)]);
    for (const size of [777, data.length, data.length + 1, 64 * KiB, padded.length]) {
      const content = await Array.fromAsync(decompress('gzip', inPieces(padded, size)));
      expect(Buffer.concat(content).toString()).toBe('content');
    }
    for (const more of [data, Buffer.from('x')]) {
      const bytes = Buffer.concat([padded, more]);
      for (const size of [777, data.length, 64 * KiB, bytes.length]) {
        const content = Array.fromAsync(decompress('gzip', inPieces(bytes, size)));
        await expect(content).rejects.toMatchObject({ problem: 'damaged' });
      }
    }
  },
);

test.runIf(compressions.includes('zstd'))(
  'frames that hold no content are passed over',
  async () => {
    const skippable = Buffer.from('502a4d1804000000deadbeef', 'hex');
    const data = compressed('zstd', Buffer.from('content'));
    const bytes = Buffer.concat([skippable, data, skippable, skippable, data]);
    expect((await contentOf('zstd', bytes)).toString()).toBe('contentcontent');
  },
);

test.runIf(compressions.includes('bzip2'))('a decoder that says nothing is stopped', async () => {
  const bytes = compressed('bzip2', disk);
  const task = { compression: 'bzip2', extent: 'whole' } as const;
  const limits = { maxCpuMs: 1, checkMs: 10 };
  const content = Array.fromAsync(decodeInThread(task, new Chunks(bytes), limits));
  await expect(content).rejects.toMatchObject({ problem: 'beyond reason' });
});
