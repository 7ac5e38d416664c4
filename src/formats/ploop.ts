import { HeaderFields } from './header-fields.ts';
import type { ImageReader } from './image-reader.ts';
import { beyondReason, convertCommand, unsafe } from './inspection.ts';

const headerBytes = 64;
const sectorBytes = 512;
const maxEntries = 2 ** 29;
const maxClusterSectors = 2 ** 21;

/**
 * Inspects an expanding Parallels or ploop image whose signature was seen. The layout is that of
 * QEMU's docs/interop/parallels.rst; all fields are little-endian.
 *
 * @returns the virtual size.
 */
export async function inspectPloop(image: ImageReader): Promise<number> {
  const header = new HeaderFields(await image.read(0, headerBytes), 'little', 'parallels');
  if (header.u32(16) !== 2) {
    throw unsafe(
      'unknown version',
      `it is of version ${header.u32(16)}, and only 2 is known. Make it anew: ${convertCommand('parallels')}`,
    );
  }
  const clusterSectors = header.u32(28);
  if (clusterSectors === 0 || clusterSectors > maxClusterSectors) {
    throw beyondReason('cluster size', 'parallels');
  }
  if (header.u32(32) > maxEntries) {
    throw beyondReason('block allocation table size', 'parallels');
  }
  // The older signature has 32 bits for the size, and what follows them is not defined.
  const isOlder = header.text(0, 16) === 'WithoutFreeSpace';
  return isOlder ? header.u32(36) * sectorBytes : header.bytes64(36, 'virtual size', sectorBytes);
}
