import type { FileHandle } from 'node:fs/promises';
import type { SegmentId } from '../records/ids.ts';
import { storedBytesLost } from './storage-error.ts';

const completeMode = 0o440;

/** Has a segment's file be just `length` bytes long. @throws STORED_BYTES_LOST if it is shorter; the system's errors. */
export async function cutTo(file: FileHandle, id: SegmentId, length: number): Promise<void> {
  const { size } = await file.stat();
  if (size < length) {
    throw storedBytesLost(id, size, length);
  }
  if (size > length) {
    await file.truncate(length);
  }
}

/** The same, and protects it from being written again. */
export async function completeFile(file: FileHandle, id: SegmentId, length: number): Promise<void> {
  await cutTo(file, id, length);
  await file.chmod(completeMode);
}
