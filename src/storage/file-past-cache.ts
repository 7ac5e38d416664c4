import type { FileHandle } from 'node:fs/promises';
import { isInPages } from '../runtime/shared-buffers.ts';
import { pageBytes } from './zero-run.ts';

/**
 * Least bytes that are written or read past the page cache. In one go they wait for the disk: 1 MiB came to 840 MiB/s on a
 * disk where 64 KiB came to 310, in place of 350 and 920 through the cache, which pays for it later.
 */
const leastDirectBytes = 256 * 1024;

/** What moves in one go, and where through. */
interface Stretch {
  readonly file: FileHandle;
  readonly length: number;
}

/** Opens a file with O_DIRECT; undefined where that cannot be had. */
export type OpenDirect = () => Promise<FileHandle | undefined>;

/**
 * A file that is opened a second time with O_DIRECT: what is whole pages of the file and of memory, and enough of them, goes
 * past the page cache, all else through it. Linux keeps both coherent.
 */
export class FilePastCache {
  readonly #file: FileHandle;
  readonly #openDirect: OpenDirect;
  /** Opened when the first bytes come that may go so. */
  #direct: Promise<FileHandle | undefined> | undefined;
  #isRefused = false;

  constructor(file: FileHandle, openDirect: OpenDirect = () => Promise.resolve(undefined)) {
    this.#file = file;
    this.#openDirect = openDirect;
  }

  /** Whether anything may have gone past the cache. */
  get isUsed(): boolean {
    return this.#direct !== undefined && !this.#isRefused;
  }

  /** Writes the bytes of `data` from `start` on, to the file's byte `at`; as many up to `end` as go at once. Answers how many. */
  write(data: Uint8Array, start: number, end: number, at: number): Promise<number> {
    return this.#move(data, start, end, at, async ({ file, length }) => {
      return (await file.write(data, start, length, at)).bytesWritten;
    });
  }

  /** Reads into `target` from `start` on what begins at the file's byte `at`, as `write`. Answers how many; 0 at the end. */
  read(target: Uint8Array, start: number, end: number, at: number): Promise<number> {
    return this.#move(target, start, end, at, async ({ file, length }) => {
      return (await file.read(target, start, length, at)).bytesRead;
    });
  }

  /** Closes the file. Never throws. */
  async close(): Promise<void> {
    await this.#file.close().catch(() => {});
    await (await this.#direct)?.close().catch(() => {});
  }

  async #move(
    memory: Uint8Array,
    start: number,
    end: number,
    at: number,
    move: (stretch: Stretch) => Promise<number>,
  ): Promise<number> {
    const stretch = await this.#stretch(memory, start, end, at);
    try {
      return await move(stretch);
    } catch (error) {
      if (stretch.file === this.#file || !isRefusal(error)) {
        throw error;
      }
      // It stays open until all is closed: a write may be under way beside a read.
      this.#isRefused = true;
      return move({ file: this.#file, length: end - start });
    }
  }

  async #stretch(memory: Uint8Array, start: number, end: number, at: number): Promise<Stretch> {
    const all = { file: this.#file, length: end - start };
    const isAlike = (memory.byteOffset + start - at) % pageBytes === 0;
    if (this.#isRefused || all.length < leastDirectBytes || !isAlike || !isInPages(memory)) {
      return all;
    }
    this.#direct ??= this.#openDirect();
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

/** Whether a file system moves such bytes only through the page cache. */
function isRefusal(error: unknown): boolean {
  return (
    error instanceof Error && 'code' in error && ['EINVAL', 'ENOTSUP'].includes(String(error.code))
  );
}
