import { HeaderFields, isPowerOfTwo } from './header-fields.ts';
import { headBytes, type ImageReader } from './image-reader.ts';
import { beyondReason, convertCommand, mismatch, unsafe } from './inspection.ts';
import { checkVmdkDescriptor, extentsElsewhere, isVmdkDescriptorText } from './vmdk-descriptor.ts';

const MiB = 1024 * 1024;

const sectorBytes = 512;
const maxDescriptorBytes = MiB;
/** QEMU reads the descriptor here, whatever the header says. */
const onlyDescriptorOffset = sectorBytes;
const leastGrainSectors = 8;
const mostGrainSectors = (64 * MiB) / sectorBytes;
const maxTableEntries = 512;
const maxDirectoryBytes = 32 * MiB;

/** The directory's place that says: it is written in the footer, at the file's end. */
const directoryAtEnd = 0xffff_ffff_ffff_ffffn;
/** Where in a sparse header the directory's place stands; the only field in which a footer differs. */
const directoryField = { start: 56, end: 64 };
const headerFieldsEnd = 79;
/** A footer's type among the markers of a stream. */
const footerMarker = 3;

/**
 * Inspects a sparse disk or a descriptor, one of which was seen. The layout is that of VMware's
 * Virtual Disk Format 5.0, "Hosted Sparse Extents" and "Stream-Optimized Compressed Sparse Extents";
 * all fields are little-endian.
 *
 * @returns the virtual size.
 */
export async function inspectVmdk(image: ImageReader): Promise<number> {
  if (isVmdkDescriptorText(await image.head())) {
    throw extentsElsewhere();
  }
  const header = fieldsOf(await image.read(0, headBytes));
  const virtualSize = checkHeader(header);
  const descriptorOffset = header.bytes64(28, 'descriptor offset', sectorBytes);
  const descriptorBytes = header.bytes64(36, 'descriptor size', sectorBytes);
  if (descriptorOffset === 0 || descriptorBytes === 0) {
    throw partOfDisk();
  }
  if (descriptorBytes > maxDescriptorBytes) {
    throw beyondReason('descriptor size', 'vmdk');
  }
  if (descriptorOffset !== onlyDescriptorOffset) {
    throw beyondReason('descriptor offset', 'vmdk');
  }
  const descriptor = await image.read(descriptorOffset, descriptorBytes);
  // QEMU leaves room for a descriptor in parts too.
  if (descriptor[0] === 0) {
    throw partOfDisk();
  }
  checkVmdkDescriptor(descriptor);
  if (header.u64(directoryField.start) === directoryAtEnd) {
    await checkFooter(image, header);
  }
  return virtualSize;
}

function fieldsOf(bytes: Uint8Array): HeaderFields {
  return new HeaderFields(bytes, 'little', 'vmdk');
}

function partOfDisk() {
  return unsafe(
    'no embedded descriptor',
    `it is one part of a disk, whose descriptor is another file. Make one file of its parts: ${convertCommand('vmdk')} -o subformat=streamOptimized`,
  );
}

function checkHeader(header: HeaderFields): number {
  const version = header.u32(4);
  if (version < 1 || version > 3) {
    throw unsafe(
      'unknown version',
      `it is of version ${version}, and only 1 to 3 are known. Make it anew: ${convertCommand('vmdk')}`,
    );
  }
  const virtualSize = header.bytes64(12, 'virtual size', sectorBytes);
  // QEMU takes a header without a capacity for that of a descriptor which names other files.
  if (virtualSize === 0) {
    throw beyondReason('virtual size', 'vmdk');
  }
  const grainSectors = Number(header.u64(20));
  if (
    grainSectors < leastGrainSectors ||
    grainSectors > mostGrainSectors ||
    !isPowerOfTwo(grainSectors)
  ) {
    throw beyondReason('grain size', 'vmdk');
  }
  const tableEntries = header.u32(44);
  if (tableEntries > maxTableEntries || !isPowerOfTwo(tableEntries)) {
    throw beyondReason('grain table size', 'vmdk');
  }
  const tables = Math.ceil(virtualSize / (grainSectors * sectorBytes * tableEntries));
  if (tables * 4 > maxDirectoryBytes) {
    throw beyondReason('grain directory size', 'vmdk');
  }
  if (header.u16(77) > 1) {
    throw beyondReason('compression', 'vmdk');
  }
  if (header.u64(directoryField.start) !== directoryAtEnd) {
    checkDirectoryOffset(header);
  }
  return virtualSize;
}

function checkDirectoryOffset(header: HeaderFields): void {
  if (header.bytes64(directoryField.start, 'grain directory offset', sectorBytes) === 0) {
    throw beyondReason('grain directory offset', 'vmdk');
  }
}

/**
 * A stream ends with a marker, the footer and the marker of the stream's end, a sector each. Who
 * opens the disk goes by the footer, so that it must say what the checked header says.
 */
async function checkFooter(image: ImageReader, header: HeaderFields): Promise<void> {
  const size = image.wholeSize();
  const end = await image.read(Math.max(0, size - 3 * sectorBytes), 3 * sectorBytes);
  const marker = fieldsOf(end.subarray(0, sectorBytes));
  const footer = fieldsOf(end.subarray(sectorBytes, 2 * sectorBytes));
  const endOfStream = fieldsOf(end.subarray(2 * sectorBytes));
  const isStreamEnd =
    marker.u64(0) === 1n &&
    marker.u32(8) === 0 &&
    marker.u32(12) === footerMarker &&
    endOfStream.isZero(0, 16);
  if (!isStreamEnd || footer.text(0, 4) !== 'KDMV') {
    throw mismatch(
      'cut short',
      'it is cut short: its stream does not end with a footer. Upload the whole file',
    );
  }
  const beforeField = (fields: HeaderFields) => fields.hex(0, directoryField.start);
  const afterField = (fields: HeaderFields) =>
    fields.hex(directoryField.end, headerFieldsEnd - directoryField.end);
  if (beforeField(footer) !== beforeField(header) || afterField(footer) !== afterField(header)) {
    throw unsafe(
      'footer that disagrees with the header',
      `its footer says something else than its header, so that readers disagree about it. Make it anew: ${convertCommand('vmdk')} -o subformat=streamOptimized`,
    );
  }
  checkDirectoryOffset(footer);
  if (footer.bytes64(directoryField.start, 'grain directory offset', sectorBytes) >= size) {
    throw beyondReason('grain directory offset', 'vmdk');
  }
}
