import type { Stats } from 'node:fs';
import { stat, type FileHandle } from 'node:fs/promises';
import type { SegmentId } from '../records/ids.ts';
import { completeFile } from './complete-file.ts';
import type { SegmentWriter, AppendOutcome } from './blob-store.ts';
import { FilePastCache, type OpenDirect } from './file-past-cache.ts';
import { readFully } from './read-fully.ts';
import { storageError } from './storage-error.ts';
import { joinShortZeroRuns, splitZeroRuns, type Run } from './zero-run.ts';

/**
 * Data that is shredded by zeros into more runs than one for each of these many bytes is written in
 * larger pieces: each run is a write of its own, at about 0.07 ms, and an extent of the file system.
 */
const bytesPerRun = 16 * 1024;
/** Chunks that are small may have so many runs anyway. */
const fewRuns = 64;
/** Zeros that are still left out of shredded data. */
const leastZerosOfShreds = 32 * 1024;

/** Where a segment's file is, beside the handle on it. */
export interface SegmentFilePlace {
  readonly id: SegmentId;
  /** Where others will look for the file; without it only its removal is noticed. */
  readonly path?: string;
  /** Makes the file's name durable. */
  readonly syncName: () => Promise<void>;
  /** Opens the file for going past the page cache; undefined where that cannot be had. */
  readonly openDirect?: OpenDirect;
}

/**
 * Appends to one sparse file, which is always just `length` bytes long, so that a skipped page reads as
 * zeros.
 */
export class FileSegmentWriter implements SegmentWriter {
  readonly #file: FileHandle;
  readonly #place: SegmentFilePlace;
  /** The same file, through the cache alone. */
  readonly #cached: FilePastCache;
  readonly #bytes: FilePastCache;
  #length: number;
  #nameIsDurable = false;
  /** Which file it is: that never changes. */
  #identity: Pick<Stats, 'ino' | 'dev'> | undefined;
  /** Whether the file may be longer than `length`, by what a write that failed halfway has left. */
  #hasRemains = false;

  /** @param file open for reading and writing, and `length` bytes long. */
  constructor(file: FileHandle, length: number, place: SegmentFilePlace) {
    this.#file = file;
    this.#length = length;
    this.#place = place;
    this.#cached = new FilePastCache(file);
    this.#bytes = new FilePastCache(file, place.openDirect);
  }

  get length(): number {
    return this.#length;
  }

  async append(data: Uint8Array): Promise<AppendOutcome> {
    const start = this.#length;
    let storedBytes = 0;
    await this.#grow(data.byteLength, 'writing', async () => {
      for (const run of worthwhileRuns(data, start)) {
        if (run.kind === 'data') {
          await this.#write(data, run, start);
          storedBytes += run.end - run.start;
        } else if (run.end === data.byteLength) {
          // Here and not in persist: a truncate that ran beside an append could cut what that wrote.
          await this.#file.truncate(start + run.end);
        }
      }
    });
    return { storedBytes };
  }

  async appendHole(length: number): Promise<void> {
    await this.#grow(length, 'making a hole', () => this.#file.truncate(this.#length + length));
  }

  async persist(): Promise<void> {
    try {
      await this.#file.datasync();
      if (!this.#nameIsDurable) {
        await this.#place.syncName();
        this.#nameIsDurable = true;
      }
      // Writes to a file that was removed, or whose file system was unmounted, succeed; but whoever looks
      // for the bytes later does not find them.
      await this.#assertInPlace();
    } catch (error) {
      throw storageError(error, 'syncing');
    }
  }

  read(offset: number, target: Uint8Array): Promise<number> {
    // What went through the cache is there still.
    return readFully(this.#bytes.isUsed ? this.#bytes : this.#cached, offset, target);
  }

  async complete(): Promise<void> {
    try {
      await this.#cutRemains();
      await completeFile(this.#file, this.#place.id, this.#length);
      await this.#assertInPlace();
    } catch (error) {
      throw storageError(error, 'completing a segment');
    }
  }

  async close(): Promise<void> {
    await this.#bytes.close();
  }

  /** Throws unless the file is found where it was made. Without a path only its removal is noticed. */
  async #assertInPlace(): Promise<void> {
    const { path } = this.#place;
    this.#identity ??= await this.#file.stat();
    const { ino, dev } = this.#identity;
    const found = await (path === undefined ? this.#file.stat() : stat(path));
    if (found.nlink === 0 || found.ino !== ino || found.dev !== dev) {
      throw Object.assign(new Error('the segment’s file is not in its place'), { code: 'ENOENT' });
    }
  }

  async #grow(bytes: number, doing: string, work: () => Promise<void>): Promise<void> {
    try {
      await this.#cutRemains();
      this.#hasRemains = true;
      await work();
      this.#hasRemains = false;
    } catch (error) {
      // What is left must not be read where zeros are skipped later. Where even this fails, the next
      // append does it first, or fails as well.
      await this.#cutRemains().catch(() => {});
      throw storageError(error, doing);
    }
    this.#length += bytes;
  }

  async #cutRemains(): Promise<void> {
    if (this.#hasRemains) {
      await this.#file.truncate(this.#length);
      this.#hasRemains = false;
    }
  }

  async #write(data: Uint8Array, run: Run, base: number): Promise<void> {
    for (let position = run.start; position < run.end;) {
      const written = await this.#bytes.write(data, position, run.end, base + position);
      if (written === 0) {
        throw Object.assign(new Error('a write wrote nothing'), { code: 'EIO' });
      }
      position += written;
    }
  }
}

function worthwhileRuns(data: Uint8Array, position: number): readonly Run[] {
  const runs = splitZeroRuns(data, position);
  return runs.length > Math.max(fewRuns, data.byteLength / bytesPerRun)
    ? joinShortZeroRuns(runs, leastZerosOfShreds)
    : runs;
}
