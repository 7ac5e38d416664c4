import { expect } from 'vitest';
import type { ByteSource } from '../../src/formats/byte-source.ts';
import {
  inspectImage,
  maxInspectedBytes,
  type DeclaredFormat,
  type Inspection,
} from '../../src/formats/inspect-image.ts';
import type { ContainerFormat, DiskFormat } from '../../src/records/image.ts';

/** Reads that one inspection may make of a store; the headers of an archive's entries are the most. */
const maxReads = 520;

/** The first bytes of an image; checks that it is read within its bounds. */
export class PrefixSource implements ByteSource {
  readonly available: number;
  readonly isWhole: boolean;
  readonly #bytes: Uint8Array;
  reads = 0;
  readBytes = 0;

  constructor(bytes: Uint8Array, available = bytes.byteLength, isWhole = true) {
    this.#bytes = bytes;
    this.available = available;
    this.isWhole = isWhole;
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    expect(Number.isSafeInteger(offset) && Number.isSafeInteger(length)).toBe(true);
    expect(offset).toBeGreaterThanOrEqual(0);
    expect(length).toBeGreaterThanOrEqual(0);
    expect(offset + length).toBeLessThanOrEqual(this.available);
    this.reads += 1;
    this.readBytes += length;
    return this.#bytes.slice(offset, offset + length);
  }
}

/** What the bytes are declared as: BARE if nothing else is said. */
export function as(
  diskFormat: DiskFormat,
  containerFormat: ContainerFormat = 'BARE',
): DeclaredFormat {
  return { diskFormat, containerFormat };
}

/** Inspects the first `available` bytes; checks what holds of every inspection. */
export async function inspectPrefix(
  declared: DeclaredFormat,
  bytes: Uint8Array,
  available: number,
  isWhole = false,
): Promise<Inspection> {
  const source = new PrefixSource(bytes, available, isWhole);
  const inspection = await inspectImage(declared, source);
  expect(source.readBytes).toBeLessThanOrEqual(maxInspectedBytes);
  expect(source.reads).toBeLessThanOrEqual(maxReads);
  if (inspection.kind === 'undecided') {
    expect(isWhole).toBe(false);
    expect(inspection.needs).toBeGreaterThan(available);
  }
  if (inspection.kind === 'refused') {
    expect(inspection.message.length).toBeLessThan(500);
    expect(inspection.message).not.toMatch(/\p{Cc}/u);
    expect(inspection.message).toContain(declared.diskFormat);
  }
  return inspection;
}

/** Inspects all the bytes at once. */
export function inspectWhole(declared: DeclaredFormat, bytes: Uint8Array): Promise<Inspection> {
  return inspectPrefix(declared, bytes, bytes.byteLength, true);
}

/** Inspects a prefix that grows to just what is asked for, until there is an answer. */
export async function inspectGrowing(
  declared: DeclaredFormat,
  bytes: Uint8Array,
): Promise<{ readonly inspection: Inspection; readonly available: number }> {
  let available = 0;
  for (;;) {
    const isWhole = available === bytes.byteLength;
    const inspection = await inspectPrefix(declared, bytes, available, isWhole);
    if (inspection.kind !== 'undecided') {
      return { inspection, available };
    }
    available = Math.min(inspection.needs, bytes.byteLength);
  }
}
