import type { FileHandle } from 'node:fs/promises';
import type { SegmentWriter, WriteOutcome } from './blob-store.ts';
import { storageError } from './storage-error.ts';
import { splitZeroRuns } from './zero-run.ts';

/**
 * Appends to one sparse file, which is always just `length` bytes long, so that a skipped page reads as
 * zeros.
 */
export class FileSegmentWriter implements SegmentWriter {
  readonly #file: FileHandle;
  readonly #syncName: () => Promise<void>;
  #length: number;
  #nameIsDurable = false;

  /**
   * @param file open for writing, and `length` bytes long.
   * @param syncName makes the file's name durable.
   */
  constructor(file: FileHandle, length: number, syncName: () => Promise<void>) {
    this.#file = file;
    this.#length = length;
    this.#syncName = syncName;
  }

  get length(): number {
    return this.#length;
  }

  async append(data: Uint8Array): Promise<WriteOutcome> {
    const start = this.#length;
    let storedBytes = 0;
    try {
      for (const run of splitZeroRuns(data, start)) {
        if (run.kind === 'data') {
          await this.#write(data, run.start, run.end, start + run.start);
          storedBytes += run.end - run.start;
        } else if (run.end === data.byteLength) {
          await this.#file.truncate(start + run.end);
        }
      }
    } catch (error) {
      // What a write that failed halfway left must not be read where zeros are skipped later.
      await this.#file.truncate(start).catch(() => {});
      throw storageError(error, 'writing');
    }
    this.#length = start + data.byteLength;
    return { storedBytes };
  }

  async appendHole(length: number): Promise<void> {
    try {
      // Here and not in sync: a truncate that ran beside an append could cut what that wrote.
      await this.#file.truncate(this.#length + length);
    } catch (error) {
      throw storageError(error, 'making a hole');
    }
    this.#length += length;
  }

  async sync(): Promise<void> {
    try {
      await this.#file.datasync();
      if (!this.#nameIsDurable) {
        await this.#syncName();
        this.#nameIsDurable = true;
      }
      // Writes to a file that was removed succeed, and are lost.
      if ((await this.#file.stat()).nlink === 0) {
        throw Object.assign(new Error('the segment’s file was removed'), { code: 'ENOENT' });
      }
    } catch (error) {
      throw storageError(error, 'syncing');
    }
  }

  async close(): Promise<void> {
    await this.#file.close().catch(() => {});
  }

  async #write(data: Uint8Array, start: number, end: number, position: number): Promise<void> {
    let written = start;
    while (written < end) {
      const { bytesWritten } = await this.#file.write(
        data,
        written,
        end - written,
        position + (written - start),
      );
      written += bytesWritten;
    }
  }
}
