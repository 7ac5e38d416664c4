import type { ByteSource } from './byte-source.ts';
import { ImageReader } from './image-reader.ts';
import { cutShort, Refusal, refusedAs, type DeclaredFormat, type Refused } from './inspection.ts';
import { leastSizeOfQcow2 } from './qcow2-end.ts';
import { leastSizeOfVdi } from './vdi.ts';

/**
 * Inspects whether a whole image that was found sound by its headers ends before what its own tables lead
 * to, so that it must have been cut off; where the format has tables that tell it in a few reads.
 *
 * @param source the whole image.
 * @returns the refusal; undefined if nothing is missed.
 */
export async function inspectFileEnd(
  declared: DeclaredFormat,
  source: ByteSource,
): Promise<Refused | undefined> {
  const image = new ImageReader(source);
  try {
    const least = await leastSizeOf(declared, image);
    return least > image.available
      ? refusedAs(declared, cutShort(image.available, least))
      : undefined;
  } catch (thrown) {
    if (thrown instanceof Refusal) {
      return refusedAs(declared, thrown);
    }
    throw thrown;
  }
}

/** 0 where it is not told. */
function leastSizeOf(
  { diskFormat, containerFormat }: DeclaredFormat,
  image: ImageReader,
): Promise<number> | number {
  if (containerFormat !== 'BARE') {
    return 0;
  }
  return diskFormat === 'QCOW2'
    ? leastSizeOfQcow2(image)
    : diskFormat === 'VDI'
      ? leastSizeOfVdi(image)
      : 0;
}
