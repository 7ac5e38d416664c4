import { constants } from 'node:fs';
import { chmod, mkdir, open, readdir, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { validate } from 'uuid';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { SegmentId } from '../records/ids.ts';
import type { BlobStore, SegmentReader, SegmentUse, SegmentWriter } from './blob-store.ts';
import { completeFile, cutTo } from './complete-file.ts';
import { FilePastCache } from './file-past-cache.ts';
import { FileSegmentWriter } from './file-segment-writer.ts';
import { readFully } from './read-fully.ts';
import { storageError } from './storage-error.ts';
import { syncFolder } from './sync-folder.ts';

const shardNames = Array.from({ length: 256 }, (_, shard) => shard.toString(16).padStart(2, '0'));

const writableMode = 0o640;

/** How a folder is used. */
export interface FileBlobStoreOptions {
  /** Whether large pieces of uploads go past the page cache, where the file system can. */
  readonly directWrites: boolean;
}

/**
 * A blob store in a folder: one sparse file a segment, spread over 256 subfolders by the last byte of
 * its id, which is random in a UUIDv7. Files never move: whether a segment is staged or published is
 * the database's to say, so that there is no step between two renames at which to crash.
 *
 * Several processes, on several machines, may share the folder.
 */
export class FileBlobStore implements BlobStore {
  readonly #folder: string;
  /** Whether the file system lets files be used past the page cache, as far as is known. */
  #isDirect: boolean;

  private constructor(folder: string, { directWrites }: FileBlobStoreOptions) {
    this.#folder = folder;
    this.#isDirect = directWrites;
  }

  /** Opens the store in `folder`, making the folder and its subfolders if they are not there. */
  static async open(
    folder: string,
    options: FileBlobStoreOptions = { directWrites: true },
  ): Promise<FileBlobStore> {
    try {
      await mkdir(folder, { recursive: true, mode: 0o750 });
      const there = new Set(await readdir(folder));
      const missing = shardNames.filter((name) => !there.has(name));
      // At once: each by itself would wait for a thread, and on a network file system for the network.
      await Promise.all(missing.map((name) => makeShard(join(folder, name))));
      await syncFolder(folder);
    } catch (error) {
      throw storageError(error, `making the folder ${folder}`);
    }
    return new FileBlobStore(folder, options);
  }

  async openWriter(id: SegmentId, length: number): Promise<SegmentWriter> {
    return guarded('opening a segment', async () => {
      const begun = length === 0 ? await this.#begin(id) : undefined;
      const file = begun ?? (await this.#openForWriting(id, length));
      try {
        if (begun === undefined) {
          await cutTo(file, id, length);
        }
        return new FileSegmentWriter(file, length, {
          id,
          path: this.#path(id),
          syncName: () => syncFolder(join(this.#folder, shardOf(id))),
          openDirect: () => this.#openDirect(id, constants.O_RDWR),
        });
      } catch (error) {
        await file.close().catch(() => {});
        throw error;
      }
    });
  }

  async openReader(id: SegmentId, use: SegmentUse = 'reading'): Promise<SegmentReader> {
    const opened = await guarded('opening a segment', () => this.#open(id, constants.O_RDONLY));
    // Memory for what is read once is memory that others do not have, and to fill it takes longer than the disk.
    const file =
      use === 'reading'
        ? new FilePastCache(opened)
        : new FilePastCache(opened, () => this.#openDirect(id, constants.O_RDONLY));
    return {
      read: (offset, target) => readFully(file, offset, target),
      close: () => file.close(),
    };
  }

  async heldBytes(id: SegmentId): Promise<number | undefined> {
    return guarded('looking at a segment', async () => {
      let file: FileHandle;
      try {
        // Opened, since a network file system answers for a name what it knew of it a while ago.
        file = await open(this.#path(id), constants.O_RDONLY);
      } catch (error) {
        if (isErrno(error, 'ENOENT')) {
          await this.check();
          return undefined;
        }
        throw error;
      }
      try {
        return (await file.stat()).size;
      } finally {
        await file.close();
      }
    });
  }

  async complete(id: SegmentId, length: number): Promise<void> {
    await guarded('completing a segment', async () => {
      const file = await this.#openForWriting(id, undefined);
      try {
        await completeFile(file, id, length);
      } finally {
        await file.close();
      }
    });
  }

  async remove(id: SegmentId): Promise<void> {
    await guarded('removing a segment', async () => {
      try {
        await rm(this.#path(id));
      } catch (error) {
        if (!isErrno(error, 'ENOENT')) {
          throw error;
        }
        // In a folder that is not mounted nothing is there, and nothing is removed.
        await this.check();
      }
    });
  }

  async *list(): AsyncIterable<SegmentId> {
    for (const shard of shardNames) {
      const names = await guarded('listing segments', () => readdir(join(this.#folder, shard)));
      for (const name of names) {
        if (validate(name)) {
          yield name as SegmentId;
        }
      }
    }
  }

  async check(): Promise<void> {
    await guarded('looking at the store', async () => {
      await stat(join(this.#folder, '00'));
    });
  }

  /** Makes the file of a new segment; undefined where there is one already. */
  async #begin(id: SegmentId): Promise<FileHandle | undefined> {
    try {
      return await open(
        this.#path(id),
        constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
        writableMode,
      );
    } catch (error) {
      if (isErrno(error, 'EEXIST')) {
        return undefined;
      }
      throw error;
    }
  }

  /** @param length of what is known of it; only a segment of nothing is made where there is none. */
  async #openForWriting(id: SegmentId, length: number | undefined): Promise<FileHandle> {
    const flags = constants.O_RDWR | (length === 0 ? constants.O_CREAT : 0);
    try {
      return await this.#open(id, flags, writableMode);
    } catch (error) {
      if (!isErrno(error, 'EACCES')) {
        throw error;
      }
      // It was completed for a publication that did not come about.
      await chmod(this.#path(id), writableMode);
      return this.#open(id, flags, writableMode);
    }
  }

  async #open(id: SegmentId, flags: number, mode?: number): Promise<FileHandle> {
    try {
      return await open(this.#path(id), flags, mode);
    } catch (error) {
      if (isErrno(error, 'ENOENT') && (flags & constants.O_CREAT) === 0) {
        // A folder that is not mounted must not read as bytes that were lost.
        await this.check();
        throw new DarkroomError(
          'STORED_BYTES_LOST',
          `The image store does not hold segment ${id} any more: the image must be uploaded anew.`,
          { cause: error },
        );
      }
      throw error;
    }
  }

  /** A segment's file for going past the page cache, as long as all files could be opened so. Never rejects. */
  async #openDirect(id: SegmentId, flags: number): Promise<FileHandle | undefined> {
    if (!this.#isDirect) {
      return undefined;
    }
    try {
      return await open(this.#path(id), flags | constants.O_DIRECT);
    } catch (error) {
      // As of a file system without. Whatever else is wrong, going through the cache tells.
      this.#isDirect = !isErrno(error, 'EINVAL');
      return undefined;
    }
  }

  #path(id: SegmentId): string {
    return join(this.#folder, shardOf(id), id);
  }
}

/** Of another process that starts as well it may be there by now. */
async function makeShard(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o750 });
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) {
      throw error;
    }
  }
}

function shardOf(id: SegmentId): string {
  return id.slice(-2);
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

async function guarded<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storageError(error, doing);
  }
}
