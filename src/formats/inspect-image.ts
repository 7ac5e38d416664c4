import type { ByteSource } from './byte-source.ts';
import { inspectCompressed } from './compressed.ts';
import { inspectDisk } from './disk.ts';
import { inspectDockerArchive } from './docker-archive.ts';
import { ImageReader } from './image-reader.ts';
import {
  BytesMissing,
  Refusal,
  refusedAs,
  type DeclaredFormat,
  type Inspection,
} from './inspection.ts';
import { inspectOva } from './ova.ts';
import { mayBeDescriptor } from './ovf-descriptor.ts';
import { documentIn, plainDocument } from './plain-document.ts';

export type { ByteSource } from './byte-source.ts';
export { maxInspectedBytes } from './image-reader.ts';
export type { DeclaredFormat, Inspection, Refused, StatedDigest } from './inspection.ts';

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
    return { kind: 'sound', ...(await inspectContainer(declared, image)) };
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

async function inspectContainer(
  declared: DeclaredFormat,
  image: ImageReader,
): Promise<Omit<Extract<Inspection, { kind: 'sound' }>, 'kind'>> {
  switch (declared.containerFormat) {
    case 'BARE':
      return { virtualSize: await inspectDisk(declared.diskFormat, image) };
    case 'COMPRESSED':
      return { virtualSize: await inspectCompressed(declared, image) };
    case 'OVA':
      return inspectOva(declared.diskFormat, image);
    case 'DOCKER':
      await inspectDockerArchive(image);
      return { virtualSize: undefined };
    case 'OVF':
      await inspectOvf(image);
      return { virtualSize: undefined };
  }
}

/** A descriptor, which is XML, or one of the files that belong to it. */
async function inspectOvf(image: ImageReader): Promise<void> {
  const head = await image.head();
  const document = documentIn(head);
  if (document !== undefined && !mayBeDescriptor(document, head)) {
    throw plainDocument(document, head);
  }
}
