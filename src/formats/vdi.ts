import { HeaderFields } from './header-fields.ts';
import type { ImageReader } from './image-reader.ts';
import { beyondReason, convertCommand, unsafe } from './inspection.ts';

/** The bytes before the header: a text, the signature and the version. */
const preHeaderBytes = 72;
/** The header up to and with the parent's UUID. */
const leastHeaderBytes = 384;
const mostHeaderBytes = 4096;
const sectorBytes = 512;
const maxBlockBytes = 64 * 1024 * 1024;
/** The block map of the largest disk QEMU opens, of 512 TiB in blocks of 1 MiB. */
const maxBlocks = 2 ** 29;

const imageTypes = { dynamic: 1, static: 2 };

/**
 * Inspects an image whose signature was seen. The layout is that of QEMU's block/vdi.c and of
 * VirtualBox's VDICore.h, version 1.1; all fields are little-endian.
 *
 * @returns the virtual size.
 */
export async function inspectVdi(image: ImageReader): Promise<number> {
  const header = fieldsOf(await image.read(0, preHeaderBytes + leastHeaderBytes));
  if (header.u32(68) !== 0x0001_0001) {
    throw unsafe(
      'unknown version',
      `it is not of version 1.1, the only one known. Make it anew: ${convertCommand('vdi')}`,
    );
  }
  const headerBytes = header.u32(72);
  if (headerBytes < leastHeaderBytes || headerBytes > mostHeaderBytes) {
    throw beyondReason('header length', 'vdi');
  }
  refuseDifferencing(header);
  return checkGeometry(header, preHeaderBytes + headerBytes);
}

/** The least size that the file of a sound image has: by its block map, and the blocks that are there. */
export async function leastSizeOfVdi(image: ImageReader): Promise<number> {
  const header = fieldsOf(await image.read(0, preHeaderBytes + leastHeaderBytes));
  const [mapOffset, dataOffset] = [header.u32(340), header.u32(344)];
  const [blocks, present] = [header.u32(384), header.u32(388)];
  // The last block may be written in part.
  const dataEnd = present === 0 ? 0 : dataOffset + (present - 1) * header.u32(376) + 1;
  return Math.max(mapOffset + blocks * 4, dataEnd);
}

function fieldsOf(bytes: Uint8Array): HeaderFields {
  return new HeaderFields(bytes, 'little', 'vdi');
}

function refuseDifferencing(header: HeaderFields): void {
  const type = header.u32(76);
  const hasParent = !header.isZero(424, 16) || !header.isZero(440, 16);
  if ((type !== imageTypes.dynamic && type !== imageTypes.static) || hasParent) {
    throw unsafe(
      'differencing image',
      `it is a differencing image, and who opens it would look for its parent among the host's files. Merge them: VBoxManage clonemedium disk old.vdi new.vdi`,
    );
  }
}

function checkGeometry(header: HeaderFields, headerEnd: number): number {
  if (header.u32(360) !== sectorBytes) {
    throw beyondReason('sector size', 'vdi');
  }
  const blockBytes = header.u32(376);
  if (blockBytes === 0 || blockBytes % sectorBytes !== 0 || blockBytes > maxBlockBytes) {
    throw beyondReason('block size', 'vdi');
  }
  const blocks = header.u32(384);
  const virtualSize = header.bytes64(368, 'virtual size');
  if (blocks > maxBlocks || virtualSize > blocks * blockBytes) {
    throw beyondReason('virtual size', 'vdi');
  }
  const mapOffset = header.u32(340);
  const dataOffset = header.u32(344);
  if (mapOffset % sectorBytes !== 0 || mapOffset < headerEnd) {
    throw beyondReason('block map offset', 'vdi');
  }
  if (dataOffset % sectorBytes !== 0 || dataOffset < mapOffset + blocks * 4) {
    throw beyondReason('data offset', 'vdi');
  }
  return virtualSize;
}
