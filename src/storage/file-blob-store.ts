import { constants } from 'node:fs';
import { mkdir, open, readdir, rm, stat, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { validate } from 'uuid';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { SegmentId } from '../domain/ids.ts';
import type { BlobStore, SegmentReader, SegmentWriter } from './blob-store.ts';
import { FileSegmentWriter } from './file-segment-writer.ts';
import { storageError, storedBytesLost } from './storage-error.ts';
import { syncFolder } from './sync-folder.ts';

/**
 * A blob store in a folder: one sparse file a segment, spread over 256 subfolders by the last byte of
 * its id, which is random in a UUIDv7. Files never move: whether a segment is staged or published is
 * the database's to say, so that there is no step between two renames at which to crash.
 *
 * Several processes, on several machines, may share the folder.
 */
export class FileBlobStore implements BlobStore {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Opens the store in `folder`, making the folder and its subfolders if they are not there. */
  static async open(folder: string): Promise<FileBlobStore> {
    try {
      await mkdir(folder, { recursive: true, mode: 0o750 });
      for (let shard = 0; shard < 256; shard++) {
        await mkdir(join(folder, shardName(shard)), { recursive: true, mode: 0o750 });
      }
      await syncFolder(folder);
    } catch (error) {
      throw storageError(error, `making the folder ${folder}`);
    }
    return new FileBlobStore(folder);
  }

  async openWriter(id: SegmentId, length: number): Promise<SegmentWriter> {
    const path = this.#path(id);
    return guarded('opening a segment', async () => {
      const create = length === 0 ? constants.O_CREAT : 0;
      const file = await this.#open(id, constants.O_RDWR | create, 0o640);
      try {
        const { size } = await file.stat();
        if (size < length) {
          throw storedBytesLost(id, size, length);
        }
        if (size > length) {
          await file.truncate(length);
        }
        return new FileSegmentWriter(file, length, () => syncFolder(join(path, '..')));
      } catch (error) {
        await file.close().catch(() => {});
        throw error;
      }
    });
  }

  async openReader(id: SegmentId): Promise<SegmentReader> {
    const file = await guarded('opening a segment', () => this.#open(id, constants.O_RDONLY));
    return {
      read: (offset, target) => guarded('reading a segment', () => readFully(file, offset, target)),
      close: () => file.close().catch(() => {}),
    };
  }

  async size(id: SegmentId): Promise<number | undefined> {
    return guarded('looking at a segment', async () => {
      try {
        return (await stat(this.#path(id))).size;
      } catch (error) {
        if (isMissing(error)) {
          await this.check();
          return undefined;
        }
        throw error;
      }
    });
  }

  async seal(id: SegmentId, length: number): Promise<void> {
    await guarded('sealing a segment', async () => {
      const file = await this.#open(id, constants.O_RDWR);
      try {
        const { size } = await file.stat();
        if (size < length) {
          throw storedBytesLost(id, size, length);
        }
        if (size > length) {
          await file.truncate(length);
        }
        await file.chmod(0o440);
        await file.sync();
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
        if (!isMissing(error)) {
          throw error;
        }
        // In a folder that is not mounted nothing is there, and nothing is removed.
        await this.check();
      }
    });
  }

  async *list(): AsyncIterable<SegmentId> {
    for (let shard = 0; shard < 256; shard++) {
      const names = await guarded('listing segments', () =>
        readdir(join(this.#folder, shardName(shard))),
      );
      for (const name of names) {
        if (validate(name)) {
          yield name as SegmentId;
        }
      }
    }
  }

  async check(): Promise<void> {
    await guarded('looking at the store', async () => {
      await stat(join(this.#folder, shardName(0)));
    });
  }

  async #open(id: SegmentId, flags: number, mode?: number): Promise<FileHandle> {
    try {
      return await open(this.#path(id), flags, mode);
    } catch (error) {
      if (isMissing(error) && (flags & constants.O_CREAT) === 0) {
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

  #path(id: SegmentId): string {
    return join(this.#folder, id.slice(-2), id);
  }
}

function shardName(shard: number): string {
  return shard.toString(16).padStart(2, '0');
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

async function guarded<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storageError(error, doing);
  }
}

async function readFully(file: FileHandle, offset: number, target: Uint8Array): Promise<number> {
  let filled = 0;
  while (filled < target.byteLength) {
    const { bytesRead } = await file.read(
      target,
      filled,
      target.byteLength - filled,
      offset + filled,
    );
    if (bytesRead === 0) {
      break;
    }
    filled += bytesRead;
  }
  return filled;
}
