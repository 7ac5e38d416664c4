import type { ImageReader } from './image-reader.ts';

const sectorBytes = 2048;
/** The first sectors are the system area, free for boot code. */
const firstDescriptor = 16;
const maxDescriptors = 32;

const primary = 1;
const terminator = 255;
/** Identifiers of ISO 9660 (ECMA-119, 8.1) and of the extended area that UDF adds (ECMA-167, part 2). */
const identifiers = new Set(['CD001', 'BEA01', 'BOOT2', 'NSR02', 'NSR03', 'TEA01']);

/** Whether the image has an ISO 9660 primary volume descriptor (ECMA-119, 8.4), by itself or as a bridge to UDF. */
export async function isIso(image: ImageReader): Promise<boolean> {
  for (let index = 0; index < maxDescriptors; index++) {
    const offset = (firstDescriptor + index) * sectorBytes;
    if (image.endsBefore(offset + sectorBytes)) {
      return false;
    }
    const descriptor = Buffer.from(await image.read(offset, sectorBytes));
    const identifier = descriptor.toString('latin1', 1, 6);
    if (!identifiers.has(identifier)) {
      return false;
    }
    if (identifier === 'CD001') {
      if (descriptor[0] === primary) {
        return true;
      }
      if (descriptor[0] === terminator) {
        return false;
      }
    }
  }
  return false;
}

/** Bytes an image has at least if it is an ISO. */
export const minIsoBytes = (firstDescriptor + 1) * sectorBytes;
