import { HeaderFields, isPowerOfTwo } from './header-fields.ts';
import type { ImageReader } from './image-reader.ts';
import { beyondReason, convertCommand, unsafe } from './inspection.ts';

const KiB = 1024;
const MiB = 1024 * KiB;

const tableBytes = 64 * KiB;
const entryBytes = 32;
const maxEntries = 2047;
const maxVirtualSize = 64 * MiB * MiB;
const maxBlockBytes = 256 * MiB;

/** Identifiers as they stand in the file: the first three groups are little-endian. */
const itemIds = {
  fileParameters: '3767a1ca36fa434db3b633f0aa44e76b',
  virtualDiskSize: '2442a52f1bcd7648b2115dbed83bf4b8',
  page83Data: 'ab12cabee6b2234593efc309e000c746',
  logicalSectorSize: '1dbf41816fa90947ba47f233a8faab5f',
  physicalSectorSize: 'c748a3cd5d4471449cc9e9885251c556',
  parentLocator: '2d5fd3a80bb34d45abf7d3d84834ab0c',
};

const hasParentFlag = 0b10;

interface Item {
  readonly offset: number;
  readonly length: number;
}

/**
 * Inspects the metadata region ([MS-VHDX] 2.6).
 *
 * @param region where it lies.
 * @returns the virtual size.
 */
export async function inspectVhdxMetadata(
  image: ImageReader,
  region: { readonly offset: number; readonly length: number },
): Promise<number> {
  const items = parseItems(fieldsOf(await image.read(region.offset, tableBytes)), region.length);
  if (items.has(itemIds.parentLocator)) {
    throw differencing();
  }
  const parameters = await readItem(image, region.offset, items.get(itemIds.fileParameters), 8);
  if ((parameters.u32(4) & hasParentFlag) !== 0) {
    throw differencing();
  }
  const blockBytes = parameters.u32(0);
  if (blockBytes < MiB || blockBytes > maxBlockBytes || !isPowerOfTwo(blockBytes)) {
    throw beyondReason('block size', 'vhdx');
  }
  const size = await readItem(image, region.offset, items.get(itemIds.virtualDiskSize), 8);
  const virtualSize = size.bytes64(0, 'virtual size');
  const sector = await readItem(image, region.offset, items.get(itemIds.logicalSectorSize), 4);
  const sectorBytes = sector.u32(0);
  if (sectorBytes !== 512 && sectorBytes !== 4096) {
    throw beyondReason('sector size', 'vhdx');
  }
  if (virtualSize > maxVirtualSize || virtualSize % sectorBytes !== 0) {
    throw beyondReason('virtual size', 'vhdx');
  }
  return virtualSize;
}

function parseItems(table: HeaderFields, regionBytes: number): Map<string, Item> {
  if (table.text(0, 8) !== 'metadata') {
    throw beyondReason('metadata table', 'vhdx');
  }
  const count = table.u16(10);
  if (count > maxEntries) {
    throw beyondReason('number of metadata items', 'vhdx');
  }
  const known = new Set<string>(Object.values(itemIds));
  const items = new Map<string, Item>();
  for (let index = 0; index < count; index++) {
    const entry = entryBytes * (index + 1);
    const id = table.hex(entry, 16);
    const item = { offset: table.u32(entry + 16), length: table.u32(entry + 20) };
    const isRequired = (table.u32(entry + 24) & 4) !== 0;
    if (item.length > MiB || item.offset + item.length > regionBytes) {
      throw beyondReason('metadata item', 'vhdx');
    }
    if (!known.has(id) && isRequired) {
      throw unsafe(
        'unknown metadata item',
        `it needs metadata that are not known, so that it cannot be checked. Make it anew: ${convertCommand('vhdx')}`,
      );
    }
    if (items.has(id)) {
      throw beyondReason('set of metadata items', 'vhdx');
    }
    items.set(id, item);
  }
  return items;
}

async function readItem(
  image: ImageReader,
  regionOffset: number,
  item: Item | undefined,
  length: number,
): Promise<HeaderFields> {
  if (item === undefined || item.length < length || item.offset < tableBytes) {
    throw beyondReason('set of metadata items', 'vhdx');
  }
  return fieldsOf(await image.read(regionOffset + item.offset, length));
}

function fieldsOf(bytes: Uint8Array): HeaderFields {
  return new HeaderFields(bytes, 'little', 'vhdx');
}

function differencing() {
  return unsafe(
    'differencing disk',
    `it is a differencing disk, and who opens it would read its parent among the host's files. Merge them: ${convertCommand('vhdx')}`,
  );
}
