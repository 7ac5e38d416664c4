import { DarkroomError } from '../../domain/darkroom-error.ts';
import { settledWithin } from '../../domain/settled-within.ts';
import { CommitPipeline } from './commit-pipeline.ts';
import { retryWhileDatabaseIsAway } from '../../database/database-patience.ts';
import type { Digests } from '../digest/digest-stream.ts';
import {
  assertClaimedDigest,
  assertClaimedSize,
  type FinishClaim,
  type FinishFacts,
} from '../publishing/finish-claim.ts';
import { FormatCheck, type FormatFinding } from '../publishing/format-check.ts';
import { GrowingBlob } from '../blob/growing-blob.ts';
import type { Interruption } from '../../domain/interruption.ts';
import { noFacts } from '../../tasks/ledger/ledger-facts.ts';
import {
  isPublishedAtOnce,
  publish,
  recordFinish,
  type PublishedImage,
  type VerifiedWhole,
} from '../publishing/publish.ts';
import { unpack } from '../unpacking/unpack.ts';
import { isFatal, isLoss, recordEnd, type SettleEnd } from './session-end.ts';
import type { UploadParts } from './upload-parts.ts';
import {
  assertLease,
  commitProgress,
  detachWriter,
  examineLease,
  type UploadProgress,
  type WriterLease,
} from '../lease/writer-lease.ts';

/**
 * Checks that are done so soon after a finish need no phase of their own: the whole is then checked and
 * published in one transaction, which makes small images half as costly.
 */
const verifyingPatienceMs = 100;
/** How often a digest that goes on moves the task's expire_time on, at most. */
const longestKeepAliveMs = 10_000;

/** What the checks of the whole found. */
interface Verification {
  readonly digests: Digests;
  readonly format: FormatFinding;
}

/**
 * One writer's stay on an upload: takes bytes in order, makes them durable, and ends in exactly one of
 * `finish`, `leave` or `abandon`. Its methods are called one after the other.
 */
export class UploadSession {
  readonly #parts: UploadParts;
  readonly #lease: WriterLease;
  /** Ends all that waits: the lease is lost, the disk failed, or the service stops. */
  readonly #interruption: Interruption;
  readonly #blob: GrowingBlob;
  readonly #commits: CommitPipeline;
  readonly #format: FormatCheck;
  /** The look at the format that is under way, or was last. Never rejects. */
  #looking: Promise<void> = Promise.resolve();
  /** Set while the whole is being checked. */
  #claim: FinishClaim | undefined;

  private constructor(
    parts: UploadParts,
    lease: WriterLease,
    interruption: Interruption,
    blob: GrowingBlob,
  ) {
    this.#parts = parts;
    this.#lease = lease;
    this.#interruption = interruption;
    this.#blob = blob;
    this.#format = new FormatCheck(
      lease.declared,
      (offset, length) => blob.read(offset, length),
      parts.limits.formatCheck === 'refuse',
    );
    this.#commits = new CommitPipeline(
      { bytes: parts.limits.commitBytes, intervalMs: parts.limits.commitIntervalMs },
      blob.length,
      () => this.#commit(),
      (error) => interruption.interrupt(error),
    );
  }

  /** Opens the leased segment. @throws a storage error; STORED_BYTES_LOST if committed bytes are not there. */
  static async open(
    parts: UploadParts,
    lease: WriterLease,
    interruption: Interruption,
  ): Promise<UploadSession> {
    const blob = await GrowingBlob.open(parts, lease, interruption);
    return new UploadSession(parts, lease, interruption, blob);
  }

  /** Bytes from the image's start that are durably stored and recorded. */
  get committedSize(): number {
    return this.#commits.committed;
  }

  /**
   * Takes bytes at `offset`: new ones at the position, and ones that came before, which are compared.
   * `data` must not be used afterwards.
   *
   * @throws DarkroomError OFFSET_MISMATCH, REPLAY_MISMATCH, SIZE_EXCEEDED, FORMAT_MISMATCH, FORMAT_UNSAFE, a
   *   storage error, or why the session was interrupted.
   */
  async append(offset: number, data: Uint8Array): Promise<void> {
    const replayed = this.#admit(offset, data.byteLength);
    if (replayed > 0) {
      await this.#blob.compare(offset, data.subarray(0, replayed));
    }
    if (replayed < data.byteLength) {
      const fresh = replayed === 0 ? data : data.subarray(replayed);
      const start = this.#blob.length;
      await this.#blob.append(fresh);
      const committing = this.#commits.appended(this.#blob.length);
      await this.#interruption.race(this.#blob.digest(start, fresh));
      await this.#interruption.race(committing);
      this.#lookAtFormat();
    }
  }

  /** Takes zeros that did not travel, as `append`. */
  async appendHole(offset: number, length: number): Promise<void> {
    const replayed = this.#admit(offset, length);
    if (replayed > 0) {
      await this.#blob.compare(offset, replayed);
    }
    if (replayed < length) {
      await this.#blob.appendHole(length - replayed);
      await this.#interruption.race(this.#commits.appended(this.#blob.length));
      this.#lookAtFormat();
    }
  }

  /**
   * Checks the whole and makes it the image's. Ends the session if it succeeds.
   *
   * What is durable by then and was not recorded is recorded by the publishing: of an image that comes in one go
   * that is all of it. Where the checks take long, it is recorded before.
   *
   * @param onPublishing called before the whole is published: from here on the lease is looked at by that alone.
   * @throws DarkroomError SIZE_SHORT, SIZE_EXCEEDED, DIGEST_MISMATCH, COMPRESSION_INVALID, FORMAT_MISMATCH,
   *   FORMAT_UNSAFE, a storage error, or why the session was interrupted.
   */
  async finish(claim: FinishClaim, onPublishing: () => void): Promise<PublishedImage> {
    this.#interruption.throwIfInterrupted();
    assertClaimedSize(claim, this.#facts());
    const isAtOnce = isPublishedAtOnce(this.#lease);
    await this.#interruption.race(
      isAtOnce ? this.#commits.seal(() => this.#blob.persist()) : this.#commits.flush(),
    );
    this.#claim = claim;
    const { digests, format } = await this.#verify(claim);
    assertClaimedDigest(digests, claim, this.#facts());
    await this.#blob.complete();
    const came = { size: claim.totalSize, sha256: digests.sha256 };
    const publishing = (whole: VerifiedWhole): Promise<PublishedImage> => {
      onPublishing();
      return this.#publish(claim, whole);
    };
    const published = this.#lease.decompress
      ? await unpack(
          this.#parts,
          this.#lease,
          claim,
          { ...came, segments: this.#blob.segments },
          this.#interruption,
          publishing,
        )
      : await publishing({ ...came, format });
    await this.#close();
    await this.#blob.dropDigest();
    return published;
  }

  /** Commits all, and leaves the upload to whoever goes on with it. @throws as `append`. */
  async leave(): Promise<void> {
    await this.#interruption.race(this.#commits.flush());
    await this.#interruption.race(settledWithin(this.#looking, verifyingPatienceMs));
    this.#interruption.throwIfInterrupted();
    await this.#close();
    await retryWhileDatabaseIsAway(() => detachWriter(this.#parts.database, this.#lease));
    await this.#blob.parkDigest(this.committedSize);
  }

  /**
   * Ends the session for an error: commits the good prefix, and records the fault on the task, which
   * goes on or ends as `settle` decides. Never throws; the error to tell the client is the answer.
   */
  async abandon(error: DarkroomError, settle: SettleEnd): Promise<DarkroomError> {
    this.#interruption.interrupt(error);
    this.#commits.stop();
    if (isLoss(error)) {
      // Nothing of it counts any more, so its client need not wait for a disk that hangs.
      void this.#close().then(() => this.#blob.parkDigest(this.committedSize));
    } else {
      await this.#blob.settle();
      await this.#commits.flush().catch(() => {});
      await this.#close();
      await this.#blob.parkDigest(this.committedSize);
    }
    const { committedSize } = this;
    const end = { committedSize, claim: this.#claim, settle };
    return recordEnd(this.#parts, this.#lease, error, end);
  }

  /** Answers how many of `length` bytes at `offset` come again. */
  #admit(offset: number, length: number): number {
    this.#interruption.throwIfInterrupted();
    const position = this.#blob.length;
    if (offset > position) {
      throw new DarkroomError(
        'OFFSET_MISMATCH',
        `A chunk or hole begins at ${offset}, but the next byte to come is ${position}. Send from there.`,
        { metadata: { expected_offset: String(position), offset: String(offset) } },
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
    return Math.min(length, position - offset);
  }

  /** Beside the appending: a disk that is slow to read must not keep a stream from being written. */
  #lookAtFormat(): void {
    if (this.#format.isDue(this.#blob.length)) {
      this.#looking = this.#format.look(this.#blob.length).catch((error: unknown) => {
        // What only could not be read is looked at again.
        if (error instanceof DarkroomError && isFatal(error)) {
          this.#interruption.interrupt(error);
        }
      });
    }
  }

  async #commit(): Promise<number> {
    const { progress } = this.#blob;
    await this.#blob.persist();
    if (!(await retryWhileDatabaseIsAway(() => this.#recordProgress(progress)))) {
      throw (
        (await examineLease(this.#parts.database, this.#lease)).loss ??
        new DarkroomError('INTERNAL', `A commit of task ${this.#lease.taskId} changed nothing.`)
      );
    }
    return progress.committedSize;
  }

  #recordProgress(progress: UploadProgress): Promise<boolean> {
    return commitProgress(this.#parts.database, this.#lease, progress);
  }

  #publish(claim: FinishClaim, whole: VerifiedWhole): Promise<PublishedImage> {
    const { progress } = this.#blob;
    const unrecorded = progress.committedSize > this.#commits.committed ? progress : undefined;
    return retryWhileDatabaseIsAway(() =>
      publish(this.#parts.ledger, this.#lease, claim, whole, unrecorded),
    );
  }

  async #verify(claim: FinishClaim): Promise<Verification> {
    const concluding = this.#looking.then(() => this.#format.conclude(claim.totalSize));
    const verifying = Promise.all([
      this.#interruption.race(this.#blob.digests()),
      this.#interruption.race(concluding),
    ]).then(([digests, format]) => ({ digests, format }));
    return (
      (await settledWithin(verifying, verifyingPatienceMs)) ??
      (await this.#waitVisibly(claim, verifying))
    );
  }

  /** From here on the task completes by itself, even if this process dies. */
  async #waitVisibly(claim: FinishClaim, verifying: Promise<Verification>): Promise<Verification> {
    await this.#interruption.race(this.#commits.flush());
    await retryWhileDatabaseIsAway(() =>
      this.#parts.ledger.changeAtOnce(this.#lease.taskId, undefined, noFacts, (entry) => {
        assertLease(entry, this.#lease);
        recordFinish(entry, claim);
      }),
    );
    // A digest that hangs is no sign of life.
    const checked = (): number => this.#blob.digested + this.#format.checkedBytes;
    let before = checked();
    const keepAlive = setInterval(
      () => {
        if (checked() > before) {
          before = checked();
          this.#recordProgress(this.#blob.progress).catch(() => {});
        }
      },
      Math.min(longestKeepAliveMs, this.#lease.idleTimeoutMs / 3),
    );
    try {
      return await verifying;
    } finally {
      clearInterval(keepAlive);
    }
  }

  #facts(): FinishFacts {
    const { expectedSize, expectedSha256, expectedSha512 } = this.#lease;
    return { received: this.#blob.length, expectedSize, expectedSha256, expectedSha512 };
  }

  /** Never rejects. */
  async #close(): Promise<void> {
    this.#commits.stop();
    await this.#blob.close();
  }
}
