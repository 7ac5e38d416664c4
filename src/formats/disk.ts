import type { DiskFormat } from '../records/image.ts';
import { hasPartitionTable } from './partition-table.ts';
import { documentIn, endsAsText, plainDocument } from './plain-document.ts';
import type { ImageReader } from './image-reader.ts';
import { cutShort, Refusal } from './inspection.ts';
import { isIso, minIsoBytes } from './iso.ts';
import { inspectPloop } from './ploop.ts';
import { inspectQcow2 } from './qcow2.ts';
import { compressedFormats, signaturesIn, type HeadFormat } from './signatures.ts';
import { inspectVdi } from './vdi.ts';
import { endsWithVhdFooter, inspectDynamicVhd, inspectFixedVhd } from './vhd.ts';
import { inspectVhdx } from './vhdx.ts';
import { inspectVmdk } from './vmdk.ts';
import { unrecognised, wrongFormat } from './wrong-format.ts';

/**
 * Inspects a disk that is not wrapped in anything.
 *
 * @returns the virtual size, if the format tells one.
 * @throws Refusal; BytesMissing as long as it cannot be told.
 */
export async function inspectDisk(
  diskFormat: DiskFormat,
  image: ImageReader,
): Promise<number | undefined> {
  switch (diskFormat) {
    case 'QCOW2':
      await requireSignature(image, new Set(['qcow2']));
      return inspectQcow2(image);
    case 'VMDK':
      await requireSignature(image, new Set(['vmdk']));
      return inspectVmdk(image);
    case 'VHDX':
      await requireSignature(image, new Set(['vhdx']));
      return inspectVhdx(image);
    case 'VDI':
      await requireSignature(image, new Set(['vdi']));
      return inspectVdi(image);
    case 'PLOOP':
      await requireSignature(image, new Set(['parallels']));
      return inspectPloop(image);
    case 'VHD':
      return inspectVhd(image);
    case 'ISO':
      return inspectIso(image);
    case 'RAW':
    case 'AMI':
      return inspectRaw(image);
    case 'AKI':
    case 'ARI':
      return inspectKernel(image);
  }
}

/**
 * Refuses bytes that do not begin as one of the formats, or that begin as any other as well.
 *
 * @returns the format as which they begin.
 */
export async function requireSignature<Expected extends HeadFormat>(
  image: ImageReader,
  expected: ReadonlySet<Expected>,
): Promise<Expected> {
  const [found] = await refuseSignatures(image, expected);
  if (found === undefined) {
    throw await unrecognised(image, await image.head());
  }
  return found;
}

async function refuseSignatures<Accepted extends HeadFormat>(
  image: ImageReader,
  accepted: ReadonlySet<Accepted>,
): Promise<Accepted[]> {
  const isAccepted = (format: HeadFormat): format is Accepted =>
    (accepted as ReadonlySet<HeadFormat>).has(format);
  const found = signaturesIn(await image.head());
  const other = found.find((format) => !isAccepted(format));
  if (other !== undefined) {
    throw wrongFormat(other);
  }
  return found.filter(isAccepted);
}

/** A dynamic disk shows itself at its start; a fixed one is raw until its last sector. */
async function inspectVhd(image: ImageReader): Promise<number> {
  const found = await refuseSignatures(image, new Set(['vhd']));
  if (found.length > 0) {
    return inspectDynamicVhd(image);
  }
  await refusePureIso(image);
  if (await endsWithVhdFooter(image)) {
    return inspectFixedVhd(image);
  }
  throw await unrecognised(image, await image.head());
}

const none: ReadonlySet<HeadFormat> = new Set();

/** What follows an ISO is no part of it, so that a fixed disk with an ISO on it is an ISO as well. */
async function inspectIso(image: ImageReader): Promise<number> {
  const head = await image.head();
  await refuseSignatures(image, none);
  if (image.endsBefore(minIsoBytes) && documentIn(head) === undefined) {
    throw cutShort(image.available, minIsoBytes);
  }
  if (!(await isIso(image))) {
    throw await unrecognised(image, head);
  }
  if (await endsWithVhdFooter(image)) {
    await inspectFixedVhd(image).catch((thrown: unknown) => {
      throw thrown instanceof Refusal && thrown.reason === 'FORMAT_MISMATCH'
        ? wrongFormat('vhd')
        : thrown;
    });
  }
  return image.wholeSize();
}

/** A raw disk is known only by not being anything else. */
async function inspectRaw(image: ImageReader): Promise<number> {
  // An archive written to a disk is a raw disk too.
  await refuseSignatures(image, new Set(['tar']));
  await refusePureIso(image);
  await refuseVhdFooter(image);
  await refuseDocument(image);
  return image.wholeSize();
}

/** Kernels and their ramdisks are compressed, and are no disks that would have a size. */
async function inspectKernel(image: ImageReader): Promise<undefined> {
  await refuseSignatures(image, new Set([...compressedFormats, 'tar']));
  if (await isIso(image)) {
    throw wrongFormat('iso');
  }
  await refuseVhdFooter(image);
  await refuseDocument(image);
}

/** An ISO with a partition table is a disk as well: that is how it boots from a USB stick. */
async function refusePureIso(image: ImageReader): Promise<void> {
  if ((await isIso(image)) && !(await hasPartitionTable(image))) {
    throw wrongFormat('iso');
  }
}

async function refuseVhdFooter(image: ImageReader): Promise<void> {
  if (await endsWithVhdFooter(image)) {
    throw wrongFormat('vhd');
  }
}

/** Refuses a whole image that is text from its start to its end. */
async function refuseDocument(image: ImageReader): Promise<void> {
  const head = await image.head();
  const document = documentIn(head);
  if (document !== undefined && (await endsAsText(image))) {
    throw plainDocument(document, head);
  }
}
