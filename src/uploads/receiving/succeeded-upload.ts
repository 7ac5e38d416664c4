import type { Database } from '../../database/database.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { Image } from '../../records/image.ts';
import { BlobReader } from '../../storage/blob-reader.ts';
import { segmentsForProject } from '../../storage/published-segments.ts';
import type { Task } from '../../records/task.ts';
import {
  assertClaimedDigest,
  assertClaimedSize,
  type FinishClaim,
} from '../publishing/finish-claim.ts';
import type { Interruption } from '../../domain/interruption.ts';
import { verifyReplay } from '../blob/replay.ts';
import type { SucceededTask } from '../lease/attach-writer.ts';
import type { UploadParts } from './upload-parts.ts';

/**
 * An upload that is done, to which a client whose answer was lost sends again. What it sends is
 * compared, and a finish gets the same answer as before.
 */
export class SucceededUpload {
  readonly #database: Database;
  readonly #image: Image;
  readonly #task: Task;
  readonly #reader: BlobReader | undefined;
  readonly #interruption: Interruption;

  private constructor(
    parts: UploadParts,
    { image, task }: SucceededTask,
    reader: BlobReader | undefined,
    interruption: Interruption,
  ) {
    this.#database = parts.database;
    this.#image = image;
    this.#task = task;
    this.#reader = reader;
    this.#interruption = interruption;
  }

  /** Finds the bytes of a task that has SUCCEEDED; they may be gone with a deleted image. */
  static async open(
    parts: UploadParts,
    succeeded: SucceededTask,
    interruption: Interruption,
  ): Promise<SucceededUpload> {
    const { blobId, projectId } = succeeded.image;
    const reader = blobId
      ? new BlobReader(parts.store, await segmentsForProject(parts.database, projectId, blobId))
      : undefined;
    return new SucceededUpload(parts, succeeded, reader, interruption);
  }

  /** Bytes of all that came. */
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
    if (this.#image.packedSha256 != null) {
      throw this.#packedBytesGone();
    }
    if (!this.#reader) {
      throw this.#bytesGone();
    }
    try {
      await verifyReplay(this.#reader, offset, sent, this.#interruption);
    } catch (error) {
      const isLost = error instanceof DarkroomError && error.reason === 'STORED_BYTES_LOST';
      throw isLost && (await this.#isDeleted()) ? this.#bytesGone() : error;
    }
  }

  /** @throws DarkroomError SIZE_SHORT, SIZE_EXCEEDED, DIGEST_MISMATCH. */
  finish(claim: FinishClaim): void {
    const received = this.size;
    const facts = { received, expectedSize: null, expectedSha256: null, expectedSha512: null };
    assertClaimedSize(claim, facts);
    // Of what came, though that is not what is stored.
    const sha256 = this.#image.packedSha256 ?? this.#image.sha256 ?? '';
    assertClaimedDigest({ sha256, sha512: undefined }, claim, facts);
  }

  /** Never throws. */
  async close(): Promise<void> {
    await this.#reader?.close();
  }

  async #isDeleted(): Promise<boolean> {
    const image = await this.#database.fork().findOne(Image, { id: this.#image.id });
    return image?.state === 'DELETED';
  }

  #bytesGone(): DarkroomError {
    return new DarkroomError(
      'IMAGE_STATE_INVALID',
      `Image ${this.#image.id} is DELETED: its bytes are gone and cannot be compared.`,
      { metadata: { image_id: this.#image.id, state: 'DELETED' } },
    );
  }

  #packedBytesGone(): DarkroomError {
    const { id, state, packedFormat } = this.#image;
    return new DarkroomError(
      'IMAGE_STATE_INVALID',
      `Image ${id} is what was inside of the ${packedFormat} that was sent, whose bytes are gone and cannot be compared ` +
        'any more. Send the finish alone: it is answered as before.',
      { metadata: { image_id: id, state } },
    );
  }
}
