import { crc32 } from 'node:zlib';
import { HeaderFields } from './header-fields.ts';
import type { ImageReader } from './image-reader.ts';
import { isBootSector } from './signatures.ts';

const sectorBytes = 512;

/**
 * Whether a whole image is a disk by a partition table of its own: an MBR, a GPT or an Apple partition
 * map with at least one partition that begins inside the image.
 *
 * A boot sector is no proof, since anything bootable has one; nor is a table without partitions.
 *
 * Known to be false early; true only of a whole image.
 */
export async function hasPartitionTable(image: ImageReader): Promise<boolean> {
  const starts = [...(await startsByMbr(image)), ...(await startsByAppleMap(image))];
  return starts.some((start) => start < image.wholeSize());
}

const mbr = { entries: 446, entryBytes: 16, count: 4 };
/** An entry that covers the disk for those who do not know GPT. */
const protectiveType = 0xee;

/**
 * Where partitions begin, in bytes, by the MBR, and by the GPT where the MBR says that there is one (UEFI
 * 2.10, 5.2).
 */
async function startsByMbr(image: ImageReader): Promise<number[]> {
  if (image.endsBefore(sectorBytes)) {
    return [];
  }
  const sector = await image.read(0, sectorBytes);
  if (!isBootSector(sector)) {
    return [];
  }
  const entries = Array.from({ length: mbr.count }, (_, index) => {
    const start = mbr.entries + index * mbr.entryBytes;
    return fieldsOf(sector.slice(start, start + mbr.entryBytes), 'little');
  });
  // Where code or text stands instead of a table, this is not what it looks like.
  if (entries.some((entry) => (entry.u8(0) & 0x7f) !== 0)) {
    return [];
  }
  const used = entries.filter((entry) => entry.u8(4) !== 0 && entry.u32(12) > 0);
  const starts = used
    .filter((entry) => entry.u8(4) !== protectiveType)
    .map((entry) => entry.u32(8) * sectorBytes);
  return starts.length === used.length ? starts : [...starts, ...(await startsByGpt(image))];
}

const gptSignature = 'EFI PART';
const leastGptHeaderBytes = 92;
/** UEFI asks for 16 KiB at least; there are programs that write less. */
const maxGptTableBytes = 64 * 1024;
const leastGptEntryBytes = 128;

async function startsByGpt(image: ImageReader): Promise<number[]> {
  for (const blockBytes of [512, 2048, 4096]) {
    const table = await readGpt(image, blockBytes);
    if (table !== undefined) {
      return table;
    }
  }
  return [];
}

async function readGpt(image: ImageReader, blockBytes: number): Promise<number[] | undefined> {
  if (image.endsBefore(2 * blockBytes)) {
    return undefined;
  }
  const header = fieldsOf(await image.read(blockBytes, sectorBytes), 'little');
  const headerBytes = header.u32(12);
  const isSound =
    header.text(0, 8) === gptSignature &&
    headerBytes >= leastGptHeaderBytes &&
    headerBytes <= sectorBytes &&
    header.u64(24) === 1n &&
    header.u32(16) === gptHeaderChecksum(header.slice(0, headerBytes));
  const start = Number(header.u64(72)) * blockBytes;
  const entryBytes = header.u32(84);
  const tableBytes = header.u32(80) * entryBytes;
  if (
    !isSound ||
    entryBytes < leastGptEntryBytes ||
    tableBytes > maxGptTableBytes ||
    !Number.isSafeInteger(start + tableBytes) ||
    image.endsBefore(start + tableBytes)
  ) {
    return undefined;
  }
  const table = await image.read(start, tableBytes);
  if (header.u32(88) !== crc32(table)) {
    return undefined;
  }
  const entries = fieldsOf(table, 'little');
  return Array.from({ length: header.u32(80) }, (_, index) => index * entryBytes)
    .filter((entry) => !entries.isZero(entry, 16))
    .map((entry) => Number(entries.u64(entry + 32)) * blockBytes);
}

function gptHeaderChecksum(bytes: Uint8Array): number {
  const header = Buffer.from(bytes);
  header.writeUInt32LE(0, 16);
  return crc32(header);
}

/** Whether the first sector is the driver map that comes before an Apple partition map. */
export function isAppleDriverMap(head: Uint8Array): boolean {
  const fields = fieldsOf(head, 'big');
  const blockBytes = fields.u16(2);
  return fields.text(0, 2) === 'ER' && blockBytes > 0 && blockBytes % sectorBytes === 0;
}

const maxMapEntries = 64;
/** Entries that hold no file system: the map itself, and what is free. */
const otherMapTypes: ReadonlySet<string> = new Set([
  'Apple_partition_map',
  'Apple_Free',
  'Apple_Void',
]);

/** As {@link startsByMbr}, by Apple's map (Inside Macintosh: Devices, "The Structure of Partitioned Medium"). */
async function startsByAppleMap(image: ImageReader): Promise<number[]> {
  if (image.endsBefore(2 * sectorBytes)) {
    return [];
  }
  const driverMap = await image.read(0, sectorBytes);
  if (!isAppleDriverMap(driverMap)) {
    return [];
  }
  const blockBytes = fieldsOf(driverMap, 'big').u16(2);
  const starts: number[] = [];
  for (let index = 1, count = 1; index <= count; index++) {
    const offset = index * blockBytes;
    if (image.endsBefore(offset + sectorBytes)) {
      return [];
    }
    const entry = fieldsOf(await image.read(offset, sectorBytes), 'big');
    count = entry.u32(4);
    if (entry.text(0, 2) !== 'PM' || count > maxMapEntries) {
      return [];
    }
    const type = entry.text(48, 32).replace(/\0.*$/s, '');
    if (entry.u32(12) > 0 && !otherMapTypes.has(type)) {
      starts.push(entry.u32(8) * blockBytes);
    }
  }
  return starts;
}

function fieldsOf(bytes: Uint8Array, byteOrder: 'little' | 'big'): HeaderFields {
  return new HeaderFields(bytes, byteOrder, 'raw');
}
