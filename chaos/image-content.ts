import { createHash } from 'node:crypto';
import type { Random } from './random.ts';

const KiB = 1024;

/** The bytes of an image, and where its zeros are. */
export interface ImageContent {
  readonly bytes: Buffer;
  readonly sha256: string;
  /** How many zeros are known to follow from `position` on; 0 inside of data. */
  zerosFrom(position: number): number;
}

/**
 * Draws an image: runs of noise and runs of zeros, short and long, most of them not aligned to
 * anything, so that holes begin and end in the middle of pages and chunks.
 */
export function drawImage(random: Random, maxBytes: number): ImageContent {
  const size = drawSize(random, maxBytes);
  const bytes = random.bytes(size);
  const zeros: { start: number; end: number }[] = [];
  let position = random.chance(0.2) ? 0 : drawRun(random);
  while (position < size) {
    const end = Math.min(size, position + drawRun(random));
    bytes.fill(0, position, end);
    zeros.push({ start: position, end });
    position = end + drawRun(random);
  }
  return {
    bytes,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    zerosFrom(from) {
      const run = zeros.find(({ start, end }) => from >= start && from < end);
      return run ? run.end - from : 0;
    },
  };
}

/** Mostly large, and now and then just where an off-by-one would show. */
function drawSize(random: Random, maxBytes: number): number {
  const size = random.weighted([
    [1, random.pick([0, 1, 4095, 4096, 4097])],
    [4, random.int(1, 64 * KiB)],
    [20, random.int(Math.floor(maxBytes / 4), maxBytes)],
    [5, 4096 * random.int(1, Math.max(1, Math.floor(maxBytes / 4096)))],
  ]);
  return Math.min(size, maxBytes);
}

function drawRun(random: Random): number {
  return random.weighted([
    [3, random.int(1, 5000)],
    [4, random.int(1, 300 * KiB)],
    [2, 4096 * random.int(1, 64)],
    [1, random.int(256 * KiB, 1024 * KiB)],
  ]);
}
