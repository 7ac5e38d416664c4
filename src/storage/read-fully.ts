import type { FileHandle } from 'node:fs/promises';
import { storageError } from './storage-error.ts';

/**
 * Fills `target` with a file's bytes at `offset`; fewer only at its end. Answers how many.
 *
 * @throws DarkroomError STORAGE_UNAVAILABLE
 */
export async function readFully(
  file: FileHandle,
  offset: number,
  target: Uint8Array,
): Promise<number> {
  let filled = 0;
  try {
    while (filled < target.byteLength) {
      const wanted = target.byteLength - filled;
      const { bytesRead } = await file.read(target, filled, wanted, offset + filled);
      if (bytesRead === 0) {
        break;
      }
      filled += bytesRead;
    }
  } catch (error) {
    throw storageError(error, 'reading a segment');
  }
  return filled;
}
