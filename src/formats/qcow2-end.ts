import { HeaderFields } from './header-fields.ts';
import type { ImageReader } from './image-reader.ts';

const MiB = 1024 * 1024;

const headerBytes = 72;
const headerBytesV3 = 104;
const extendedL2 = 1n << 4n;
/** Of the L1 table, which has 16 KiB for a disk of 1 TiB in clusters of 64 KiB. */
const maxL1Bytes = MiB;
const maxL2Bytes = MiB;
const maxL2Tables = 16;

/** The bits of an entry in which an offset stands. */
const offsetBits = 0x00ff_ffff_ffff_fe00n;
const compressedBit = 1n << 62n;
const zeroBit = 1n;

/**
 * The least size that the file of a sound image has, by its tables: by the one of the first level and those of
 * the second level that lie last. Of a cluster no more than its beginning is asked for, as qemu-img check
 * does: the last one of a file may be written in part.
 *
 * Refcounts are not gone by. They may be of clusters that were never written.
 */
export async function leastSizeOfQcow2(image: ImageReader): Promise<number> {
  const header = fieldsOf(await image.read(0, headerBytes));
  const clusterBits = header.u32(20);
  const clusterBytes = 2 ** clusterBits;
  const l1Bytes = header.u32(36) * 8;
  let end = Math.max(
    endOf(header.u64(48), header.u32(56) * clusterBytes, clusterBytes),
    l1Bytes > 0 ? endOf(header.u64(40), l1Bytes, clusterBytes) : 0,
  );
  if (l1Bytes === 0 || end > image.available) {
    return end;
  }
  const l1 = await readTable(image, header.u64(40), Math.min(l1Bytes, maxL1Bytes));
  const tables = entriesOf(l1, 8)
    .map((entry) => entry & offsetBits)
    .filter((offset) => offset !== 0n)
    .sort((a, b) => (a < b ? 1 : a > b ? -1 : 0));
  end = Math.max(end, endOf(tables[0] ?? 0n, 1, clusterBytes));
  if (end > image.available) {
    return end;
  }
  const entryBytes = (await hasExtendedL2(image, header)) ? 16 : 8;
  const count = Math.min(maxL2Tables, Math.max(1, maxL2Bytes / clusterBytes));
  for (const offset of tables.slice(0, count)) {
    for (const entry of entriesOf(await readTable(image, offset, clusterBytes), entryBytes)) {
      end = Math.max(end, endOf(dataOffset(entry, clusterBits), 1, clusterBytes));
    }
  }
  return end;
}

function fieldsOf(bytes: Uint8Array): HeaderFields {
  return new HeaderFields(bytes, 'big', 'qcow2');
}

/** How far the file must reach for what lies at an offset; 0 for what lies nowhere. */
function endOf(offset: bigint, length: number, clusterBytes: number): number {
  return offset === 0n ? 0 : Number(offset) + Math.max(1, length - clusterBytes + 1);
}

/** As much of a table as is there. */
function readTable(image: ImageReader, offset: bigint, length: number): Promise<Uint8Array> {
  const start = Number(offset);
  return image.read(start, Math.max(0, Math.min(length, image.available - start)));
}

function entriesOf(table: Uint8Array, entryBytes: number): bigint[] {
  const fields = fieldsOf(table);
  const count = Math.floor(table.byteLength / entryBytes);
  return Array.from({ length: count }, (_, index) => fields.u64(index * entryBytes));
}

/** Where the data of an entry lie; 0 for none, and for zeros, which nobody reads. */
function dataOffset(entry: bigint, clusterBits: number): bigint {
  if ((entry & compressedBit) !== 0n) {
    return entry & ((1n << BigInt(62 - (clusterBits - 8))) - 1n);
  }
  return (entry & zeroBit) === 0n ? entry & offsetBits : 0n;
}

async function hasExtendedL2(image: ImageReader, header: HeaderFields): Promise<boolean> {
  return (
    header.u32(4) === 3 &&
    (fieldsOf(await image.read(0, headerBytesV3)).u64(72) & extendedL2) !== 0n
  );
}
