import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { BlobReader } from '../../storage/blob-reader.ts';
import type { Interruption } from '../../domain/interruption.ts';

const compareBytes = 1024 * 1024;
const zeros = Buffer.alloc(compareBytes);

/**
 * "A replay of bytes already committed is accepted only where it is checked to be the same bytes."
 *
 * @param sent the bytes that came again, or how many zeros.
 * @param interruption ends the comparing: a few bytes of a hole can stand for terabytes.
 * @throws DarkroomError REPLAY_MISMATCH, a storage error, or the error of the interruption.
 */
export async function verifyReplay(
  reader: BlobReader,
  offset: number,
  sent: Uint8Array | number,
  interruption: Interruption,
): Promise<void> {
  const length = typeof sent === 'number' ? sent : sent.byteLength;
  const buffer = Buffer.allocUnsafeSlow(Math.min(compareBytes, length));
  for (let done = 0; done < length; done += compareBytes) {
    interruption.throwIfInterrupted();
    const size = Math.min(compareBytes, length - done);
    const stored = buffer.subarray(0, size);
    await reader.read(offset + done, stored);
    const expected =
      typeof sent === 'number' ? zeros.subarray(0, size) : sent.subarray(done, done + size);
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
