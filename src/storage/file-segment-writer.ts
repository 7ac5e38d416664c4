import { stat, type FileHandle } from 'node:fs/promises';
import type { SegmentWriter, AppendOutcome } from './blob-store.ts';
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

/**
 * Appends to one sparse file, which is always just `length` bytes long, so that a skipped page reads as
 * zeros.
 */
export class FileSegmentWriter implements SegmentWriter {
  readonly #file: FileHandle;
  readonly #syncName: () => Promise<void>;
  readonly #path: string | undefined;
  #length: number;
  #nameIsDurable = false;
  /** Whether the file may be longer than `length`, by what a write that failed halfway has left. */
  #hasRemains = false;

  /**
   * @param file open for reading and writing, and `length` bytes long.
   * @param syncName makes the file's name durable.
   * @param path where others will look for the file; without it only its removal is noticed.
   */
  constructor(file: FileHandle, length: number, syncName: () => Promise<void>, path?: string) {
    this.#file = file;
    this.#length = length;
    this.#syncName = syncName;
    this.#path = path;
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
        await this.#syncName();
        this.#nameIsDurable = true;
      }
      // Writes to a file that was removed, or whose file system was unmounted, succeed; but whoever looks
      // for the bytes later does not find them.
      const own = await this.#file.stat();
      const found = this.#path === undefined ? own : await stat(this.#path);
      if (own.nlink === 0 || own.ino !== found.ino || own.dev !== found.dev) {
        throw Object.assign(new Error('the segment’s file is not in its place'), {
          code: 'ENOENT',
        });
      }
    } catch (error) {
      throw storageError(error, 'syncing');
    }
  }

  read(offset: number, target: Uint8Array): Promise<number> {
    return readFully(this.#file, offset, target);
  }

  async close(): Promise<void> {
    await this.#file.close().catch(() => {});
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
      const { bytesWritten } = await this.#file.write(
        data,
        position,
        run.end - position,
        base + position,
      );
      if (bytesWritten === 0) {
        throw Object.assign(new Error('a write wrote nothing'), { code: 'EIO' });
      }
      position += bytesWritten;
    }
  }
}

function worthwhileRuns(data: Uint8Array, position: number): readonly Run[] {
  const runs = splitZeroRuns(data, position);
  return runs.length > Math.max(fewRuns, data.byteLength / bytesPerRun)
    ? joinShortZeroRuns(runs, leastZerosOfShreds)
    : runs;
}
