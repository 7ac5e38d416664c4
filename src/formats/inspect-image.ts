import type { DiskFormat } from '../records/image.ts';
import type { ByteSource } from './byte-source.ts';
import { ImageReader } from './image-reader.ts';
import {
  BytesMissing,
  cutShort,
  Refusal,
  refusedAs,
  type DeclaredFormat,
  type Inspection,
} from './inspection.ts';
import { isIso, minIsoBytes } from './iso.ts';
import { hasPartitionTable } from './partition-table.ts';
import { documentIn, endsAsText, plainDocument } from './plain-document.ts';
import { inspectPloop } from './ploop.ts';
import { inspectQcow2 } from './qcow2.ts';
import { compressedFormats, signaturesIn, type HeadFormat } from './signatures.ts';
import { inspectVdi } from './vdi.ts';
import { endsWithVhdFooter, inspectDynamicVhd, inspectFixedVhd } from './vhd.ts';
import { inspectVhdx } from './vhdx.ts';
import { inspectVmdk } from './vmdk.ts';
import { unrecognised, wrongFormat } from './wrong-format.ts';

export type { ByteSource } from './byte-source.ts';
export { maxInspectedBytes } from './image-reader.ts';
export type { DeclaredFormat, Inspection, Refused } from './inspection.ts';

/**
 * Inspects whether the bytes that have come are of the declared format, and whether they are safe to
 * be opened: an image must not refer to anything outside itself.
 *
 * Nothing is kept between calls, and at most {@link maxInspectedBytes} are read. More bytes never
 * change an answer that is not `undecided`.
 */
export async function inspectImage(
  declared: DeclaredFormat,
  source: ByteSource,
): Promise<Inspection> {
  const image = new ImageReader(source);
  try {
    return { kind: 'sound', virtualSize: await inspectContainer(declared, image) };
  } catch (thrown) {
    if (thrown instanceof BytesMissing) {
      return { kind: 'undecided', needs: thrown.needs };
    }
    if (thrown instanceof Refusal) {
      return refusedAs(declared, thrown);
    }
    throw thrown;
  }
}

/** @returns the virtual size, if the format tells one. */
function inspectContainer(
  declared: DeclaredFormat,
  image: ImageReader,
): Promise<number | undefined> {
  switch (declared.containerFormat) {
    case 'BARE':
      return inspectDisk(declared.diskFormat, image);
    case 'COMPRESSED':
      return requireSignature(image, compressedFormats);
    case 'OVA':
    case 'DOCKER':
      return requireSignature(image, new Set(['tar']));
    case 'OVF':
      return inspectOvf(image);
  }
}

/** A descriptor, which is XML, or one of the files that belong to it. */
async function inspectOvf(image: ImageReader): Promise<undefined> {
  const head = await image.head();
  const document = documentIn(head);
  if (document === 'html' || document === 'json') {
    throw plainDocument(document, head);
  }
}

async function inspectDisk(
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

/** Refuses bytes that do not begin as one of the formats, or that begin as any other as well. */
async function requireSignature(
  image: ImageReader,
  expected: ReadonlySet<HeadFormat>,
): Promise<undefined> {
  const head = await image.head();
  const found = await refuseSignatures(image, expected);
  if (found.length === 0) {
    throw await unrecognised(image, head);
  }
}

async function refuseSignatures(
  image: ImageReader,
  accepted: ReadonlySet<HeadFormat>,
): Promise<HeadFormat[]> {
  const found = signaturesIn(await image.head());
  const other = found.find((format) => !accepted.has(format));
  if (other !== undefined) {
    throw wrongFormat(other);
  }
  return found;
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

/** What follows an ISO is no part of it, so that a fixed disk with an ISO on it is an ISO as well. */
async function inspectIso(image: ImageReader): Promise<number> {
  const head = await image.head();
  await refuseSignatures(image, new Set());
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
