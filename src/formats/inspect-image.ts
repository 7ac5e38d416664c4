import type { ByteSource } from './byte-source.ts';
import { inspectCompressed } from './compressed.ts';
import { inspectDisk, requireSignature } from './disk.ts';
import { ImageReader } from './image-reader.ts';
import {
  BytesMissing,
  Refusal,
  refusedAs,
  type DeclaredFormat,
  type Inspection,
} from './inspection.ts';
import { documentIn, plainDocument } from './plain-document.ts';

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
async function inspectContainer(
  declared: DeclaredFormat,
  image: ImageReader,
): Promise<number | undefined> {
  switch (declared.containerFormat) {
    case 'BARE':
      return inspectDisk(declared.diskFormat, image);
    case 'COMPRESSED':
      return inspectCompressed(declared, image);
    case 'OVA':
    case 'DOCKER':
      await requireSignature(image, new Set(['tar']));
      return undefined;
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
