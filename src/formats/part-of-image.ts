import type { ByteSource } from './byte-source.ts';
import { ImageReader } from './image-reader.ts';
import { BytesMissing, cutShort } from './inspection.ts';
import { refusalInside } from './refusal-inside.ts';

/** Where a part of an image is. */
export interface Part {
  readonly offset: number;
  readonly size: number;
}

/**
 * Inspects a part of an image as if it were one itself. What it reads counts for the whole.
 *
 * @param place names the part in a refusal, such as `its disk "a.vmdk"`.
 * @throws Refusal told of the whole; BytesMissing as long as it cannot be told.
 */
export async function inspectPart<T>(
  image: ImageReader,
  { offset, size }: Part,
  place: string,
  inspect: (part: ImageReader) => Promise<T>,
): Promise<T> {
  const available = Math.max(0, Math.min(size, image.available - offset));
  const source: ByteSource = {
    available,
    isWhole: image.available >= offset + size,
    read: (start, length) => image.read(offset + start, length),
  };
  try {
    return await inspect(new ImageReader(source));
  } catch (thrown) {
    if (thrown instanceof BytesMissing) {
      throw image.isWhole
        ? cutShort(image.available, offset + size)
        : new BytesMissing(offset + Math.min(thrown.needs, size));
    }
    throw refusalInside(thrown, place);
  }
}
