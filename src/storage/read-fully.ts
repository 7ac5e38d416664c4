import type { FilePastCache } from './file-past-cache.ts';
import { storageError } from './storage-error.ts';

/**
 * Fills `target` with a file's bytes at `offset`; fewer only at its end. Answers how many.
 *
 * @throws DarkroomError STORAGE_UNAVAILABLE
 */
export async function readFully(
  file: Pick<FilePastCache, 'read'>,
  offset: number,
  target: Uint8Array,
): Promise<number> {
  let filled = 0;
  try {
    while (filled < target.byteLength) {
      const read = await file.read(target, filled, target.byteLength, offset + filled);
      if (read === 0) {
        break;
      }
      filled += read;
    }
  } catch (error) {
    throw storageError(error, 'reading a segment');
  }
  return filled;
}
