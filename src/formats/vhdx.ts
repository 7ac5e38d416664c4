import { crc32c } from '@node-rs/crc32';
import { HeaderFields } from './header-fields.ts';
import type { ImageReader } from './image-reader.ts';
import { beyondReason, convertCommand, mismatch, unsafe } from './inspection.ts';
import { inspectVhdxMetadata } from './vhdx-metadata.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

const headerOffsets = [64 * KiB, 128 * KiB] as const;
const headerBytes = 4 * KiB;
const regionTableOffsets = [192 * KiB, 256 * KiB] as const;
const regionTableBytes = 64 * KiB;
const regionEntryBytes = 32;
const maxRegions = 2047;

/** Identifiers as they stand in the file: the first three groups are little-endian. */
const regionIds = {
  blocks: '6677c22d23f600429d64115e9bfd4a08',
  metadata: '06a27c8b90479a4bb8fe575f050f886e',
};

/**
 * Inspects an image whose signature was seen. The layout is that of [MS-VHDX] 2.2 to 2.6; all fields
 * are little-endian.
 *
 * @returns the virtual size.
 */
export async function inspectVhdx(image: ImageReader): Promise<number> {
  const header = await currentHeader(image);
  // A log that is to be replayed may write anywhere, also over what is checked below.
  if (!header.isZero(48, 16)) {
    throw unsafe(
      'log to be replayed',
      `it was not closed, and its log would change it when it is opened. Open and close it where it was made, or make it anew: ${convertCommand('vhdx')}`,
    );
  }
  if (header.u16(64) !== 0 || header.u16(66) !== 1) {
    throw unsafe(
      'unknown version',
      `it is not of version 1, the only one known. Make it anew: ${convertCommand('vhdx')}`,
    );
  }
  const metadata = await findMetadataRegion(image);
  return inspectVhdxMetadata(image, metadata);
}

interface Region {
  readonly id: string;
  readonly offset: number;
  readonly length: number;
  readonly isRequired: boolean;
}

/** The valid header with the higher sequence number (2.2.2). */
async function currentHeader(image: ImageReader): Promise<HeaderFields> {
  const valid: HeaderFields[] = [];
  for (const offset of headerOffsets) {
    const bytes = await image.read(offset, headerBytes);
    if (isChecked(bytes, 'head')) {
      valid.push(fieldsOf(bytes));
    }
  }
  const [first, second] = valid;
  if (first === undefined) {
    throw damaged('headers');
  }
  if (second === undefined || first.u64(8) > second.u64(8)) {
    return first;
  }
  if (first.u64(8) === second.u64(8) && first.hex(16, 64) !== second.hex(16, 64)) {
    throw disagree('headers');
  }
  return second;
}

async function findMetadataRegion(image: ImageReader): Promise<Region> {
  const tables: Uint8Array[] = [];
  for (const offset of regionTableOffsets) {
    tables.push(await image.read(offset, regionTableBytes));
  }
  const [table, copy] = tables.filter((bytes) => isChecked(bytes, 'regi'));
  if (table === undefined) {
    throw damaged('region tables');
  }
  const entriesBytes = 16 + regionEntryBytes * regionCount(table);
  // Who finds the first table damaged takes the second, so that both must be the same.
  if (copy === undefined || Buffer.compare(usedPart(table), usedPart(copy)) !== 0) {
    throw disagree('region tables');
  }
  return checkRegions(parseRegions(fieldsOf(table.subarray(0, entriesBytes))));

  function usedPart(bytes: Uint8Array): Uint8Array {
    return bytes.subarray(8, entriesBytes);
  }
}

function regionCount(table: Uint8Array): number {
  const count = fieldsOf(table).u32(8);
  if (count > maxRegions) {
    throw beyondReason('number of regions', 'vhdx');
  }
  return count;
}

function parseRegions(table: HeaderFields): Region[] {
  return Array.from({ length: table.u32(8) }, (_, index) => {
    const entry = 16 + index * regionEntryBytes;
    return {
      id: table.hex(entry, 16),
      offset: table.bytes64(entry + 16, 'region offset'),
      length: table.u32(entry + 24),
      isRequired: (table.u32(entry + 28) & 1) === 1,
    };
  });
}

function checkRegions(regions: readonly Region[]): Region {
  const isAligned = (value: number) => value >= MiB && value % MiB === 0;
  for (const { id, offset, length, isRequired } of regions) {
    // The first mebibyte holds the headers and these tables.
    if (!isAligned(offset) || !isAligned(length)) {
      throw beyondReason('region', 'vhdx');
    }
    if (isRequired && id !== regionIds.blocks && id !== regionIds.metadata) {
      throw unsafe(
        'unknown region',
        `it needs a region that is not known, so that it cannot be checked. Make it anew: ${convertCommand('vhdx')}`,
      );
    }
  }
  const ordered = regions.toSorted((a, b) => a.offset - b.offset);
  for (const [index, region] of ordered.entries()) {
    const next = ordered[index + 1];
    if (next !== undefined && region.offset + region.length > next.offset) {
      throw beyondReason('region', 'vhdx');
    }
  }
  const metadata = regions.filter(({ id }) => id === regionIds.metadata);
  const blocks = regions.filter(({ id }) => id === regionIds.blocks);
  if (metadata[0] === undefined || metadata.length > 1 || blocks.length !== 1) {
    throw beyondReason('set of regions', 'vhdx');
  }
  return metadata[0];
}

function fieldsOf(bytes: Uint8Array): HeaderFields {
  return new HeaderFields(bytes, 'little', 'vhdx');
}

/** Whether a structure has its signature and the checksum of itself, which counts as zeros in it. */
function isChecked(bytes: Uint8Array, signature: string): boolean {
  const fields = fieldsOf(bytes);
  if (fields.text(0, 4) !== signature) {
    return false;
  }
  const state = crc32c(new Uint8Array(4), crc32c(bytes.subarray(0, 4)));
  return crc32c(bytes.subarray(8), state) === fields.u32(4);
}

function damaged(part: string) {
  return mismatch(
    'damaged vhdx',
    `its ${part} are damaged: no checksum is right. Upload the file again, or make it anew: ${convertCommand('vhdx')}`,
  );
}

function disagree(part: string) {
  return unsafe(
    `${part} that disagree`,
    `its two ${part} disagree, so that readers take it for different disks. Make it anew: ${convertCommand('vhdx')}`,
  );
}
