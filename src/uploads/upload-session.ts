import { DarkroomError } from '../domain/darkroom-error.ts';
import { untilAborted } from '../domain/abortable.ts';
import { assertHeld, BlobReader, type SegmentPlace } from '../storage/blob-reader.ts';
import type { SegmentWriter } from '../storage/blob-store.ts';
import { BlobDigest } from './blob-digest.ts';
import { retryWhileDatabaseIsAway } from './database-patience.ts';
import { CommitPipeline } from './commit-pipeline.ts';
import {
  assertClaimedDigest,
  assertClaimedSize,
  type FinishClaim,
  type FinishFacts,
} from './finish-claim.ts';
import { giveUp, isLoss } from './give-up.ts';
import { assertLease, publish, type Published } from './publish.ts';
import { verifyReplay } from './replay.ts';
import type { UploadParts } from './upload-parts.ts';
import { commitProgress, detachWriter, leaseLoss, type WriterLease } from './writer-lease.ts';

/**
 * One writer's stay on an upload: takes bytes in order, makes them durable, and ends in exactly one of
 * `finish`, `leave` or `abandon`. Its methods are called one after the other.
 */
export class UploadSession {
  readonly #parts: UploadParts;
  readonly #lease: WriterLease;
  readonly #writer: SegmentWriter;
  /** For replays; the digest reads at its own pace and has a reader of its own. */
  readonly #reader: BlobReader;
  readonly #digestReader: BlobReader;
  readonly #digest: BlobDigest;
  readonly #commits: CommitPipeline;
  readonly #abort = new AbortController();
  readonly #unsubscribe: () => void;
  /** Bytes from the image's start that were appended, committed or not. */
  #position: number;
  #segmentStoredBytes: number;

  private constructor(parts: UploadParts, lease: WriterLease, writer: SegmentWriter) {
    this.#parts = parts;
    this.#lease = lease;
    this.#writer = writer;
    this.#position = lease.committedSize;
    this.#segmentStoredBytes = lease.segment.storedBytes;
    this.#reader = new BlobReader(parts.store, lease.earlier);
    this.#digestReader = new BlobReader(parts.store, lease.earlier);
    this.#showToReader();
    const parked = parts.digests.take(lease.blobId, lease.committedSize);
    this.#digest = new BlobDigest(
      parked.stream,
      this.#digestReader,
      parked.position,
      this.#position,
    );
    this.#commits = new CommitPipeline(
      { bytes: parts.limits.commitBytes, intervalMs: parts.limits.commitIntervalMs },
      this.#position,
      () => this.#commit(),
      (error) => this.abort(error),
    );
    this.#unsubscribe = parts.changes.subscribe(lease.taskId, () => void this.#checkLease());
  }

  /**
   * Opens the leased segment.
   *
   * @throws DarkroomError a storage error; STORED_BYTES_LOST if committed bytes are not there.
   */
  static async open(parts: UploadParts, lease: WriterLease): Promise<UploadSession> {
    try {
      await assertHeld(parts.store, lease.earlier);
      const writer = await parts.store.openWriter(lease.segment.id, lease.segment.length);
      return new UploadSession(parts, lease, writer);
    } catch (error) {
      throw error instanceof DarkroomError ? await giveUp(parts, lease, error) : error;
    }
  }

  get lease(): WriterLease {
    return this.#lease;
  }

  /** Bytes from the image's start that are durably stored and recorded. */
  get committedSize(): number {
    return this.#commits.committed;
  }

  /** Where the next new byte belongs, in bytes from the image's start. */
  get position(): number {
    return this.#position;
  }

  /** Fires, with the error as its reason, when the session can take no more: fenced, ended, or its disk failed. */
  get aborted(): AbortSignal {
    return this.#abort.signal;
  }

  /** Ends the taking of bytes from outside. The owner of the session then calls `abandon`. */
  abort(error: unknown): void {
    this.#abort.abort(error);
  }

  /**
   * Takes bytes at `offset`: new ones at the position, and ones that came before, which are compared.
   * `data` must not be used afterwards.
   *
   * @throws DarkroomError OFFSET_MISMATCH, REPLAY_MISMATCH, SIZE_EXCEEDED, a storage error, or why the
   *   session was aborted.
   */
  async append(offset: number, data: Uint8Array<ArrayBuffer>): Promise<void> {
    const replayed = await this.#admit(offset, data.byteLength, (length) =>
      data.subarray(0, length),
    );
    if (replayed < data.byteLength) {
      const fresh = replayed === 0 ? data : data.subarray(replayed);
      const { storedBytes } = await this.#writer.append(fresh);
      const start = this.#position;
      this.#grow(fresh.byteLength, storedBytes);
      await this.#digest.take(start, fresh);
      await this.#commits.appended(this.#position);
    }
  }

  /** Takes zeros that did not travel, as `append`. */
  async appendHole(offset: number, length: number): Promise<void> {
    const replayed = await this.#admit(offset, length, (zeros) => zeros);
    if (replayed < length) {
      await this.#writer.appendHole(length - replayed);
      this.#grow(length - replayed, 0);
      this.#digest.follow(this.#position);
      await this.#commits.appended(this.#position);
    }
  }

  /**
   * Checks the whole and makes it the image's. Ends the session if it succeeds.
   *
   * @throws DarkroomError SIZE_SHORT, SIZE_EXCEEDED, DIGEST_MISMATCH, a storage error, or why the
   *   session was aborted.
   */
  async finish(claim: FinishClaim): Promise<Published> {
    this.#abort.signal.throwIfAborted();
    assertClaimedSize(claim, this.#facts());
    await this.#commits.flush();
    await this.#enterPhase('VERIFYING', claim);
    const keepAlive = setInterval(
      () => void this.#recordProgress().catch(() => {}),
      Math.min(10_000, this.#lease.idleTimeoutMs / 3),
    );
    try {
      const sha256 = await untilAborted(this.#abort.signal, this.#digest.result());
      assertClaimedDigest(sha256, claim, this.#facts());
      await this.#enterPhase('PUBLISHING', claim);
      for (const segment of this.#segments()) {
        await this.#parts.store.seal(segment.id, segment.length);
      }
      const published = await retryWhileDatabaseIsAway(() =>
        publish(this.#parts.ledger, this.#lease, claim.totalSize, sha256),
      );
      await this.#close();
      (await this.#digest.release()).stream.close();
      await this.#closeReaders();
      return published;
    } finally {
      clearInterval(keepAlive);
    }
  }

  /** Commits all, and leaves the upload to whoever goes on with it. @throws as `append`. */
  async leave(): Promise<void> {
    await this.#commits.flush();
    await this.#close();
    await retryWhileDatabaseIsAway(() => detachWriter(this.#parts.database, this.#lease));
    await this.#parkDigest();
  }

  /**
   * Ends the session for an error: commits the good prefix, and records the fault on the task, which
   * goes on unless the error is a fatal one. Never throws; the error to tell the client is the answer.
   */
  async abandon(error: DarkroomError): Promise<DarkroomError> {
    this.#commits.stop();
    if (!isLoss(error)) {
      await this.#commits.flush().catch(() => {});
    }
    await this.#close();
    const told = await giveUp(this.#parts, this.#lease, error, this.committedSize);
    await this.#parkDigest();
    return told;
  }

  /** Answers how many of `length` bytes at `offset` are a replay, after comparing them. */
  async #admit(
    offset: number,
    length: number,
    head: (length: number) => Uint8Array | number,
  ): Promise<number> {
    this.#abort.signal.throwIfAborted();
    if (offset > this.#position) {
      throw new DarkroomError(
        'OFFSET_MISMATCH',
        `A chunk or hole begins at ${offset}, but the next byte to come is ${this.#position}. Send from there.`,
        { metadata: { expected_offset: String(this.#position), offset: String(offset) } },
      );
    }
    const end = offset + length;
    const { expectedSize } = this.#lease;
    const limit = expectedSize ?? this.#parts.limits.maxImageBytes;
    if (end > limit) {
      throw new DarkroomError(
        'SIZE_EXCEEDED',
        expectedSize === null
          ? `The image would have ${end} bytes, and ${limit} are the most that is taken.`
          : `The image was said to have ${limit} bytes, and ${end} have come. Retry with a source of that size, or ` +
              'make a new image with the right one.',
        { metadata: { limit: String(limit) } },
      );
    }
    const replayed = Math.min(length, this.#position - offset);
    if (replayed > 0) {
      await verifyReplay(this.#reader, offset, head(replayed));
    }
    return replayed;
  }

  #grow(bytes: number, storedBytes: number): void {
    this.#position += bytes;
    this.#segmentStoredBytes += storedBytes;
    this.#showToReader();
  }

  #showToReader(): void {
    const segment = this.#segments().at(-1);
    if (segment && segment.id === this.#lease.segment.id) {
      this.#reader.extend(segment);
      this.#digestReader.extend(segment);
    }
  }

  #segments(): SegmentPlace[] {
    const { earlier, segment } = this.#lease;
    const length = this.#position - segment.startOffset;
    return length > 0
      ? [...earlier, { id: segment.id, startOffset: segment.startOffset, length }]
      : [...earlier];
  }

  async #commit(): Promise<number> {
    const progress = this.#progress();
    await this.#writer.sync();
    if (!(await retryWhileDatabaseIsAway(() => this.#recordProgress(progress)))) {
      throw (
        (await leaseLoss(this.#parts.database, this.#lease)) ??
        new DarkroomError('INTERNAL', `A commit of task ${this.#lease.taskId} changed nothing.`)
      );
    }
    return progress.committedSize;
  }

  #recordProgress(progress = this.#progress(this.committedSize)): Promise<boolean> {
    return commitProgress(this.#parts.database, this.#lease, progress);
  }

  #progress(committedSize = this.#position): Parameters<typeof commitProgress>[2] {
    const { segment, storedBytes } = this.#lease;
    return {
      committedSize,
      storedBytes: storedBytes - segment.storedBytes + this.#segmentStoredBytes,
      segmentLength: committedSize - segment.startOffset,
      segmentStoredBytes: this.#segmentStoredBytes,
    };
  }

  async #enterPhase(phase: 'VERIFYING' | 'PUBLISHING', claim: FinishClaim): Promise<void> {
    await retryWhileDatabaseIsAway(() =>
      this.#parts.ledger.change(this.#lease.taskId, undefined, (entry) => {
        assertLease(entry, this.#lease);
        // From here on the task completes by itself, even if this process dies.
        entry.task.finishSize = claim.totalSize;
        entry.task.finishSha256 = claim.sha256 ?? entry.task.finishSha256 ?? null;
        entry.enterPhase(
          phase,
          phase === 'VERIFYING'
            ? `finish received with ${claim.totalSize} bytes`
            : 'size and digest agree',
        );
        entry.signOfLife();
      }),
    );
  }

  #facts(): FinishFacts {
    const { expectedSize, expectedSha256 } = this.#lease;
    return { received: this.#position, expectedSize, expectedSha256 };
  }

  async #checkLease(): Promise<void> {
    try {
      const loss = await leaseLoss(this.#parts.database, this.#lease);
      if (loss) {
        this.abort(loss);
      }
    } catch {
      // The next change or commit asks again.
    }
  }

  async #close(): Promise<void> {
    this.#unsubscribe();
    this.#commits.stop();
    await this.#writer.close();
  }

  async #closeReaders(): Promise<void> {
    await this.#reader.close();
    await this.#digestReader.close();
  }

  async #parkDigest(): Promise<void> {
    const { stream, position } = await this.#digest.release();
    this.#parts.digests.park(this.#lease.blobId, stream, position, this.committedSize);
    await this.#closeReaders();
  }
}
