import { spawnSync } from 'node:child_process';
import type { Compression } from '../../src/formats/compression.ts';
import { hasProgram } from '../support/disk-images.ts';

/** A program that compresses, and the Debian package that it is in. */
interface Compressor {
  readonly compression: Compression;
  readonly debianPackage: string;
}

const all: readonly Compressor[] = [
  { compression: 'gzip', debianPackage: 'gzip' },
  { compression: 'xz', debianPackage: 'xz-utils' },
  { compression: 'zstd', debianPackage: 'zstd' },
  { compression: 'bzip2', debianPackage: 'bzip2' },
];

/** The formats whose program is there; what is missing is said aloud. */
export const compressions: readonly Compression[] = all
  .filter(({ compression, debianPackage }) => hasProgram(compression, debianPackage))
  .map(({ compression }) => compression);

/** What was compressed already. Inputs and results are not changed by anyone. */
const done = new WeakMap<Uint8Array, Map<string, Buffer>>();

/** Compresses by the format's own program; the same input with the same options once. */
export function compressed(
  compression: Compression,
  input: Uint8Array,
  ...options: string[]
): Buffer {
  const results = done.get(input) ?? new Map<string, Buffer>();
  done.set(input, results);
  const key = [compression, ...options].join(' ');
  const result = results.get(key) ?? compressedAnew(compression, input, options);
  results.set(key, result);
  return result;
}

function compressedAnew(
  compression: Compression,
  input: Uint8Array,
  options: readonly string[],
): Buffer {
  const { status, stdout, stderr } = spawnSync(compression, ['-q', '-c', ...options], {
    input,
    maxBuffer: 1 << 30,
  });
  if (status !== 0) {
    throw new Error(`${compression} ${options.join(' ')}: ${stderr.toString()}`);
  }
  return stdout;
}

const zeros = new Map<Compression, Buffer>();

/** 64 MiB of zeros, compressed. */
export function compressedZeros(compression: Compression): Buffer {
  const bytes = zeros.get(compression) ?? compressed(compression, Buffer.alloc(64 << 20));
  zeros.set(compression, bytes);
  return bytes;
}
