import { requireSignature } from './disk.ts';
import type { ImageReader } from './image-reader.ts';
import { tarEntries } from './tar-archive.ts';

/** An archive of layers has some dozens of entries; of one that is a whole file system the first are looked at. */
const maxHeaders = 512;

/**
 * Inspects an archive of Docker's: a tar that has its end, and in which no name leads outside.
 *
 * @throws Refusal; BytesMissing until it is whole.
 */
export async function inspectDockerArchive(image: ImageReader): Promise<void> {
  await requireSignature(image, new Set(['tar']));
  // Looking at so many headers again whenever one more has come would take its time.
  image.wholeSize();
  const entries = tarEntries(image, maxHeaders);
  while ((await entries.next()).done !== true) {
    // Each is checked where it is read.
  }
}
