import type { Database } from '../database/database.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { Image } from '../images/image.ts';
import { BlobReader } from '../storage/blob-reader.ts';
import type { BlobStore } from '../storage/blob-store.ts';
import { readPublishedSegments } from '../storage/published-segments.ts';
import type { Task } from '../tasks/task.ts';
import { assertClaimedDigest, assertClaimedSize, type FinishClaim } from './finish-claim.ts';
import { verifyReplay } from './replay.ts';

/**
 * An upload that is done, to which a client whose answer was lost sends again. What it sends is
 * compared, and a finish gets the same answer as before.
 */
export class SucceededUpload {
  readonly #image: Image;
  readonly #task: Task;
  readonly #reader: BlobReader | undefined;

  private constructor(image: Image, task: Task, reader: BlobReader | undefined) {
    this.#image = image;
    this.#task = task;
    this.#reader = reader;
  }

  /** Finds the bytes of a task that has SUCCEEDED; they may be gone with a deleted image. */
  static async open(
    database: Database,
    store: BlobStore,
    image: Image,
    task: Task,
  ): Promise<SucceededUpload> {
    const segments = image.blobId ? await readPublishedSegments(database, image.blobId) : undefined;
    return new SucceededUpload(image, task, segments && new BlobReader(store, segments));
  }

  /** Bytes of the whole image. */
  get size(): number {
    return this.#task.committedSize;
  }

  /**
   * @param sent bytes, or how many zeros.
   * @throws DarkroomError REPLAY_MISMATCH, SIZE_EXCEEDED, IMAGE_STATE_INVALID, a storage error.
   */
  async compare(offset: number, sent: Uint8Array | number): Promise<void> {
    const end = offset + (typeof sent === 'number' ? sent : sent.byteLength);
    if (end > this.size) {
      throw new DarkroomError(
        'SIZE_EXCEEDED',
        `The upload is done with ${this.size} bytes; nothing can be added at ${end}.`,
      );
    }
    if (!this.#reader) {
      throw new DarkroomError(
        'IMAGE_STATE_INVALID',
        `Image ${this.#image.id} is ${this.#image.state}: its bytes are gone and cannot be compared.`,
      );
    }
    await verifyReplay(this.#reader, offset, sent);
  }

  /** @throws DarkroomError SIZE_SHORT, SIZE_EXCEEDED, DIGEST_MISMATCH. */
  finish(claim: FinishClaim): void {
    const facts = { received: this.size, expectedSize: null, expectedSha256: null };
    assertClaimedSize(claim, facts);
    assertClaimedDigest(this.#image.sha256 ?? '', claim, facts);
  }

  /** Never throws. */
  async close(): Promise<void> {
    await this.#reader?.close();
  }
}
