import { HeaderFields, isPowerOfTwo } from './header-fields.ts';
import { headBytes, type ImageReader } from './image-reader.ts';
import { beyondReason, convertCommand, cutShort, mismatch, unsafe } from './inspection.ts';

const MiB = 1024 * 1024;

const sectorBytes = 512;
const footerBytes = 512;
/** Virtual PC before 2004 wrote footers of one byte less. */
const oldFooterBytes = 511;
const dynamicHeaderBytes = 1024;
const maxHeaderOffset = MiB;
const maxBlockBytes = 256 * MiB;
/** The table of the largest disk, of 2040 GiB, in blocks of 512 KiB. */
const maxTableEntries = 2 ** 22;

const diskTypes = { fixed: 2, dynamic: 3, differencing: 4 };
/** The geometry that stands for all disks it cannot express. */
const maxGeometrySectors = 65_535 * 16 * 255;
/** Programs whose disks QEMU measures by the footer's size; all others by the geometry. */
const creatorsBySize = new Set(['win ', 'qem2', 'd2v ', 'tap\0', 'CTXS', 'wa\0\0']);

/**
 * Inspects a dynamic disk, whose first bytes are a copy of its footer. The layout is that of
 * Microsoft's Virtual Hard Disk Image Format Specification 1.0; all fields are big-endian.
 *
 * @returns the virtual size.
 */
export async function inspectDynamicVhd(image: ImageReader): Promise<number> {
  const copy = fieldsOf(await image.read(0, headBytes));
  checkFooter(copy);
  if (copy.u32(60) === diskTypes.fixed) {
    throw unsafe(
      'footer at the start of a fixed disk',
      `it begins with a footer as dynamic disks do, but says that it is fixed. Make it anew: ${convertCommand('vpc')}`,
    );
  }
  await checkDynamicHeader(image, copy);
  const size = image.wholeSize();
  const footer = fieldsOf(await image.read(Math.max(0, size - footerBytes), footerBytes));
  if (footer.text(0, 8) !== 'conectix') {
    throw mismatch(
      'cut short',
      'it is cut short: it does not end with a footer. Upload the whole file',
    );
  }
  checkFooter(footer);
  // Where the header lies, the creator, the sizes, the geometry and the type.
  const told = (fields: HeaderFields) => fields.hex(16, 8) + fields.hex(28, 4) + fields.hex(40, 24);
  if (told(footer) !== told(copy)) {
    throw unsafe(
      'footers that disagree',
      `its footers at the start and at the end say different things, so that readers disagree about it. Make it anew: ${convertCommand('vpc')}`,
    );
  }
  return virtualSizeOf(footer);
}

/**
 * Inspects a whole image that ends with a footer as a fixed disk: its bytes, and then the footer.
 *
 * @returns the virtual size.
 */
export async function inspectFixedVhd(image: ImageReader): Promise<number> {
  const size = image.wholeSize();
  if (size < footerBytes) {
    throw cutShort(size, footerBytes);
  }
  const footer = fieldsOf(await image.read(size - footerBytes, footerBytes));
  if (footer.text(0, 8) !== 'conectix') {
    throw mismatch(
      'vhd',
      `it ends with a footer of 511 bytes, as only versions before 2004 wrote. Convert it: ${convertCommand('vpc')} -o subformat=fixed`,
    );
  }
  checkFooter(footer);
  if (footer.u32(60) !== diskTypes.fixed) {
    throw mismatch(
      'cut short',
      'its footer says that it is dynamic, but its start is missing. Upload the whole file',
    );
  }
  const virtualSize = virtualSizeOf(footer);
  if (virtualSize > size - footerBytes) {
    throw cutShort(size, virtualSize + footerBytes);
  }
  return virtualSize;
}

/** Whether a whole image ends with a VHD's footer. */
export async function endsWithVhdFooter(image: ImageReader): Promise<boolean> {
  const size = image.wholeSize();
  if (size < oldFooterBytes) {
    return false;
  }
  const length = Math.min(size, footerBytes);
  const end = Buffer.from(await image.read(size - length, length)).toString('latin1');
  return end.startsWith('conectix') || end.slice(-oldFooterBytes).startsWith('conectix');
}

function fieldsOf(bytes: Uint8Array): HeaderFields {
  return new HeaderFields(bytes, 'big', 'vpc');
}

function checkFooter(footer: HeaderFields): void {
  if (footer.u32(64) !== checksum(footer.slice(0, footerBytes), 64)) {
    throw damaged('footer');
  }
  if (footer.u32(12) !== 0x0001_0000) {
    throw unsafe(
      'unknown version',
      `it is not of version 1.0, the only one known. Make it anew: ${convertCommand('vpc')}`,
    );
  }
  const type = footer.u32(60);
  if (type === diskTypes.differencing) {
    throw differencing();
  }
  if (type !== diskTypes.fixed && type !== diskTypes.dynamic) {
    throw beyondReason('disk type', 'vpc');
  }
  virtualSizeOf(footer);
}

async function checkDynamicHeader(image: ImageReader, footer: HeaderFields): Promise<void> {
  const offset = footer.bytes64(16, 'header offset');
  if (offset < footerBytes || offset > maxHeaderOffset || offset % sectorBytes !== 0) {
    throw beyondReason('header offset', 'vpc');
  }
  const header = fieldsOf(await image.read(offset, dynamicHeaderBytes));
  if (header.text(0, 8) !== 'cxsparse') {
    throw damaged('dynamic header');
  }
  if (header.u32(36) !== checksum(header.slice(0, dynamicHeaderBytes), 36)) {
    throw damaged('dynamic header');
  }
  // The parent's identifier, its name, and the eight locators of its file.
  if (!header.isZero(40, 16) || !header.isZero(64, 512) || !header.isZero(576, 192)) {
    throw differencing();
  }
  const entries = header.u32(28);
  const blockBytes = header.u32(32);
  if (blockBytes < sectorBytes || blockBytes > maxBlockBytes || !isPowerOfTwo(blockBytes)) {
    throw beyondReason('block size', 'vpc');
  }
  if (entries > maxTableEntries || entries * blockBytes < virtualSizeOf(footer)) {
    throw beyondReason('block table size', 'vpc');
  }
  const tableOffset = header.bytes64(16, 'block table offset');
  if (tableOffset < footerBytes || tableOffset % sectorBytes !== 0) {
    throw beyondReason('block table offset', 'vpc');
  }
}

/**
 * The size by the footer's field, or by its geometry where QEMU goes by that and it is larger: no
 * reader may see more than is told here.
 */
function virtualSizeOf(footer: HeaderFields): number {
  const size = footer.bytes64(48, 'virtual size');
  const sectors = footer.u16(56) * footer.u8(58) * footer.u8(59);
  const isBySize = creatorsBySize.has(footer.text(28, 4)) || sectors === maxGeometrySectors;
  return isBySize ? size : Math.max(size, sectors * sectorBytes);
}

/** The complement of the sum of the bytes, without the checksum itself. */
function checksum(bytes: Uint8Array, field: number): number {
  let sum = 0;
  for (const [at, byte] of bytes.entries()) {
    sum += at >= field && at < field + 4 ? 0 : byte;
  }
  return ~sum >>> 0;
}

function damaged(part: string) {
  return mismatch(
    'damaged vhd',
    `its ${part} is damaged: the checksum is wrong. Upload the file again, or make it anew: ${convertCommand('vpc')}`,
  );
}

function differencing() {
  return unsafe(
    'differencing disk',
    `it is a differencing disk, and who opens it would read its parent among the host's files. Merge them: ${convertCommand('vpc')}`,
  );
}
