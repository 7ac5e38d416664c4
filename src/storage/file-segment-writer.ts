import type { Stats } from 'node:fs';
import { stat, type FileHandle } from 'node:fs/promises';
import type { SegmentId } from '../records/ids.ts';
import { isInPages } from '../runtime/shared-buffers.ts';
import { completeFile } from './complete-file.ts';
import type { SegmentWriter, AppendOutcome } from './blob-store.ts';
import { readFully } from './read-fully.ts';
import { storageError } from './storage-error.ts';
import { joinShortZeroRuns, pageBytes, splitZeroRuns, type Run } from './zero-run.ts';

/**
 * Data that is shredded by zeros into more runs than one for each of these many bytes is written in
 * larger pieces: each run is a write of its own, at about 0.07 ms, and an extent of the file system.
 */
const bytesPerRun = 16 * 1024;
/** Chunks that are small may have so many runs anyway. */
const fewRuns = 64;
/** Zeros that are still left out of shredded data. */
const leastZerosOfShreds = 32 * 1024;

/**
 * Least bytes that are written past the page cache. In one go they wait for the disk: 1 MiB came to 840 MiB/s on a disk
 * where 64 KiB came to 310, in place of 350 and 920 through the cache, which pays for it later.
 */
const leastDirectBytes = 256 * 1024;

/** What of a run is written in one go, and where through. */
interface Stretch {
  readonly file: FileHandle;
  readonly length: number;
}

/** Where a segment's file is, beside the handle on it. */
export interface SegmentFilePlace {
  readonly id: SegmentId;
  /** Where others will look for the file; without it only its removal is noticed. */
  readonly path?: string;
  /** Makes the file's name durable. */
  readonly syncName: () => Promise<void>;
  /** Opens the file for writing past the page cache; undefined where that cannot be had. */
  readonly openDirect?: () => Promise<FileHandle | undefined>;
}

/**
 * Appends to one sparse file, which is always just `length` bytes long, so that a skipped page reads as
 * zeros.
 */
export class FileSegmentWriter implements SegmentWriter {
  readonly #file: FileHandle;
  readonly #place: SegmentFilePlace;
  /** For writing past the page cache: opened when the first bytes come that may go so. */
  #direct: Promise<FileHandle | undefined> | undefined;
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
    return readFully(this.#file, offset, target);
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
    await this.#file.close().catch(() => {});
    await (await this.#direct)?.close().catch(() => {});
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
      const at = base + position;
      const { file, length } = await this.#stretch(data, position, run.end, at);
      let bytesWritten: number;
      try {
        ({ bytesWritten } = await file.write(data, position, length, at));
      } catch (error) {
        if (file === this.#file || !isRefusal(error)) {
          throw error;
        }
        await file.close().catch(() => {});
        this.#direct = Promise.resolve(undefined);
        continue;
      }
      if (bytesWritten === 0) {
        throw Object.assign(new Error('a write wrote nothing'), { code: 'EIO' });
      }
      position += bytesWritten;
    }
  }

  /** Past the page cache go whole pages of the file that are whole pages of memory, where there are enough of them. */
  async #stretch(data: Uint8Array, start: number, end: number, at: number): Promise<Stretch> {
    const all = { file: this.#file, length: end - start };
    const isAlike = (data.byteOffset + start - at) % pageBytes === 0;
    if (all.length < leastDirectBytes || !isAlike || !isInPages(data)) {
      return all;
    }
    this.#direct ??= this.#place.openDirect?.() ?? Promise.resolve(undefined);
    const direct = await this.#direct;
    if (direct === undefined) {
      return all;
    }
    const inPage = at % pageBytes;
    return inPage === 0
      ? { file: direct, length: all.length - (all.length % pageBytes) }
      : { file: this.#file, length: pageBytes - inPage };
  }
}

/** Whether a file system takes such a write only through the page cache. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof Error && 'code' in error && ['EINVAL', 'ENOTSUP'].includes(String(error.code))
  );
}

function worthwhileRuns(data: Uint8Array, position: number): readonly Run[] {
  const runs = splitZeroRuns(data, position);
  return runs.length > Math.max(fewRuns, data.byteLength / bytesPerRun)
    ? joinShortZeroRuns(runs, leastZerosOfShreds)
    : runs;
}
