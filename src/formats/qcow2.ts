import { quoted } from '../domain/quoted.ts';
import { HeaderFields } from './header-fields.ts';
import type { ImageReader } from './image-reader.ts';
import { beyondReason, convertCommand, unsafe } from './inspection.ts';

const MiB = 1024 * 1024;

const headerBytesV2 = 72;
const headerBytesV3 = 104;
const maxL1Bytes = 32 * MiB;
const maxRefcountTableBytes = 8 * MiB;
const maxSnapshots = 65_536;
const maxExtensions = 64;
const maxNameBytes = 1023;
/** A backing file's name further away is not waited for. */
const maxNameOffset = 65_536;

const incompatible = {
  corrupt: 1n << 1n,
  externalData: 1n << 2n,
  compressionType: 1n << 3n,
  extendedL2: 1n << 4n,
};
/** Bit 0 says that the image was not closed: its reference counts may be wrong, nothing else. */
const knownIncompatible = 0b11111n;

const extensionTypes = { end: 0, externalDataName: 0x44415441 };

/**
 * Inspects an image of version 2 or 3 whose signature was seen. The layout is that of QEMU's
 * docs/interop/qcow2.rst, and the limits are those of QEMU's block driver.
 *
 * @returns the virtual size.
 */
export async function inspectQcow2(image: ImageReader): Promise<number> {
  const version = fieldsOf(await image.read(0, headerBytesV2)).u32(4);
  if (version !== 2 && version !== 3) {
    throw unsafe(
      'unknown version',
      `it is of version ${version}, and only 2 and 3 are known. Make it anew: ${convertCommand('qcow2')}`,
    );
  }
  const header = fieldsOf(await image.read(0, version === 2 ? headerBytesV2 : headerBytesV3));
  await refuseBackingFile(image, header);
  const features = version === 2 ? 0n : header.u64(72);
  refuseFeatures(features);

  const clusterBits = header.u32(20);
  if (clusterBits < 9 || clusterBits > 21) {
    throw beyondReason('cluster size', 'qcow2');
  }
  const clusterBytes = 2 ** clusterBits;
  const headerBytes = version === 2 ? headerBytesV2 : header.u32(100);
  if (headerBytes < headerBytesV2 || headerBytes > clusterBytes || headerBytes % 8 !== 0) {
    throw beyondReason('header length', 'qcow2');
  }
  if (version === 3 && headerBytes < headerBytesV3) {
    throw beyondReason('header length', 'qcow2');
  }
  if (header.u32(32) > 2) {
    throw beyondReason('encryption method', 'qcow2');
  }
  if (version === 3 && header.u32(96) > 6) {
    throw beyondReason('reference count width', 'qcow2');
  }
  const virtualSize = header.bytes64(24, 'virtual size');
  checkTables(header, clusterBytes, virtualSize, features);
  await checkCompressionType(image, headerBytes, features);
  await checkExtensions(image, headerBytes, clusterBytes);
  return virtualSize;
}

function fieldsOf(bytes: Uint8Array): HeaderFields {
  return new HeaderFields(bytes, 'big', 'qcow2');
}

async function refuseBackingFile(image: ImageReader, header: HeaderFields): Promise<void> {
  const offset = header.u64(8);
  if (offset === 0n) {
    return;
  }
  const length = header.u32(16);
  const end = Number(offset) + length;
  let name = '';
  if (length <= maxNameBytes && end <= maxNameOffset && !image.endsBefore(end)) {
    name = ` ${quoted(Buffer.from(await image.read(Number(offset), length)).toString())}`;
  }
  throw unsafe(
    'backing file',
    `it has a backing file${name}, and who opens the image would read that file of the host. Flatten it: ${convertCommand('qcow2')}`,
  );
}

function refuseFeatures(features: bigint): void {
  if ((features & incompatible.externalData) !== 0n) {
    throw externalData();
  }
  if ((features & ~knownIncompatible) !== 0n) {
    throw unsafe(
      'unknown incompatible features',
      `it needs features that are not known (bits 0x${features.toString(16)}), so that it cannot be checked. Make it anew without them: ${convertCommand('qcow2')}`,
    );
  }
  if ((features & incompatible.corrupt) !== 0n) {
    throw unsafe(
      'corrupt',
      'it is marked as corrupt. Repair it: qemu-img check -r all image.qcow2, and upload it anew',
    );
  }
}

function externalData() {
  return unsafe(
    'external data file',
    `its data lie in another file, and who opens the image would read that file of the host. Put them inside: ${convertCommand('qcow2')}`,
  );
}

function checkTables(
  header: HeaderFields,
  clusterBytes: number,
  virtualSize: number,
  features: bigint,
): void {
  const l1Entries = header.u32(36);
  if (l1Entries * 8 > maxL1Bytes) {
    throw beyondReason('L1 table size', 'qcow2');
  }
  const l2EntryBytes = (features & incompatible.extendedL2) === 0n ? 8 : 16;
  const bytesPerL1Entry = clusterBytes * (clusterBytes / l2EntryBytes);
  if (l1Entries < Math.ceil(virtualSize / bytesPerL1Entry)) {
    throw beyondReason('virtual size', 'qcow2');
  }
  if (l1Entries > 0) {
    checkTableOffset(header, 40, 'L1 table offset', clusterBytes);
  }
  const refcountTableClusters = header.u32(56);
  if (refcountTableClusters === 0 || refcountTableClusters * clusterBytes > maxRefcountTableBytes) {
    throw beyondReason('refcount table size', 'qcow2');
  }
  checkTableOffset(header, 48, 'refcount table offset', clusterBytes);
  const snapshots = header.u32(60);
  if (snapshots > maxSnapshots) {
    throw beyondReason('number of snapshots', 'qcow2');
  }
  if (snapshots > 0) {
    checkTableOffset(header, 64, 'snapshot table offset', clusterBytes);
  }
}

/** A table begins with a cluster, and the first cluster is the header's. */
function checkTableOffset(
  header: HeaderFields,
  field: number,
  name: string,
  clusterBytes: number,
): void {
  const offset = header.bytes64(field, name);
  if (offset < clusterBytes || offset % clusterBytes !== 0) {
    throw beyondReason(name, 'qcow2');
  }
}

async function checkCompressionType(
  image: ImageReader,
  headerBytes: number,
  features: bigint,
): Promise<void> {
  const type = headerBytes > headerBytesV3 ? (await image.read(headerBytesV3, 1))[0] : 0;
  const isOther = (features & incompatible.compressionType) !== 0n;
  if (type !== (isOther ? 1 : 0)) {
    throw beyondReason('compression type', 'qcow2');
  }
}

/** Walks the extensions between the header and the first cluster's end. */
async function checkExtensions(
  image: ImageReader,
  headerBytes: number,
  clusterBytes: number,
): Promise<void> {
  let offset = headerBytes;
  for (let count = 0; offset + 8 <= clusterBytes; count++) {
    const extension = fieldsOf(await image.read(offset, 8));
    const type = extension.u32(0);
    if (type === extensionTypes.end) {
      return;
    }
    if (type === extensionTypes.externalDataName) {
      throw externalData();
    }
    const length = extension.u32(4);
    if (length > clusterBytes - offset - 8) {
      throw beyondReason('header extension length', 'qcow2');
    }
    if (count >= maxExtensions) {
      throw beyondReason('number of header extensions', 'qcow2');
    }
    offset += 8 + Math.ceil(length / 8) * 8;
  }
}
