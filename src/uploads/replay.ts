import { DarkroomError } from '../domain/darkroom-error.ts';
import type { BlobReader } from '../storage/blob-reader.ts';

const compareBytes = 1024 * 1024;

/**
 * "A replay of bytes already committed is accepted only where it is checked to be the same bytes."
 *
 * @param sent the bytes that came again, or how many zeros.
 * @throws DarkroomError REPLAY_MISMATCH, or a storage error.
 */
export async function verifyReplay(
  reader: BlobReader,
  offset: number,
  sent: Uint8Array | number,
): Promise<void> {
  const length = typeof sent === 'number' ? sent : sent.byteLength;
  for (let done = 0; done < length; done += compareBytes) {
    const size = Math.min(compareBytes, length - done);
    const stored = Buffer.alloc(size);
    await reader.read(offset + done, stored);
    const expected =
      typeof sent === 'number' ? Buffer.alloc(size) : sent.subarray(done, done + size);
    if (!stored.equals(expected)) {
      const at = offset + done + stored.findIndex((byte, index) => byte !== expected[index]);
      throw new DarkroomError(
        'REPLAY_MISMATCH',
        `The bytes sent again at ${offset} differ from those that are stored, first at ${at}. The source has ` +
          'changed since: cancel the task and retry it from the first byte.',
        { metadata: { offset: String(at) } },
      );
    }
  }
}
