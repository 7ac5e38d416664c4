import { setTimeout as delay } from 'node:timers/promises';
import type { BlobStore, SegmentWriter } from '../../src/storage/blob-store.ts';
import { storageError } from '../../src/storage/storage-error.ts';

/** What of a store may fail. */
export type StoreOperation =
  'append' | 'persist' | 'open' | 'complete' | 'read' | 'heldBytes' | 'remove';

/** An operation that waits. */
export interface HeldOperation {
  /** Resolves when it is asked for. */
  readonly isAsked: Promise<void>;
  readonly letGo: () => void;
}

/** A store of which single operations fail, as the operating system would let them, for as long as a test likes. */
export class FaultyStore {
  readonly #errnos = new Map<StoreOperation, string>();
  readonly #delaysMs = new Map<StoreOperation, number>();
  readonly #held = new Map<StoreOperation, { asked: () => void; readonly free: Promise<void> }>();

  /** From now on an operation fails with an errno such as ENOSPC. */
  break(operation: StoreOperation, errno: string): void {
    this.#errnos.set(operation, errno);
  }

  /** From now on an operation takes so much longer. */
  slow(operation: StoreOperation, ms: number): void {
    this.#delaysMs.set(operation, ms);
  }

  /** From now on an operation waits until it may go on. */
  hold(operation: StoreOperation): HeldOperation {
    const [asked, free] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    this.#held.set(operation, { asked: asked.resolve, free: free.promise });
    return {
      isAsked: asked.promise,
      letGo: () => {
        this.#held.delete(operation);
        free.resolve();
      },
    };
  }

  /** Everything works again. What is held stays so. */
  mend(): void {
    this.#errnos.clear();
    this.#delaysMs.clear();
  }

  /** Wraps a store. */
  readonly wrap = (store: BlobStore): BlobStore => ({
    openWriter: async (id, length) => {
      await this.#check('open');
      return this.#wrapWriter(await store.openWriter(id, length));
    },
    openReader: async (id) => {
      const reader = await store.openReader(id);
      return {
        read: async (offset, target) => {
          await this.#check('read');
          return reader.read(offset, target);
        },
        close: () => reader.close(),
      };
    },
    heldBytes: async (id) => {
      await this.#check('heldBytes');
      return store.heldBytes(id);
    },
    complete: async (id, length) => {
      await this.#check('complete');
      await store.complete(id, length);
    },
    remove: async (id) => {
      await this.#check('remove');
      await store.remove(id);
    },
    list: () => store.list(),
    check: () => store.check(),
  });

  #wrapWriter(writer: SegmentWriter): SegmentWriter {
    return {
      get length() {
        return writer.length;
      },
      append: async (data) => {
        await this.#check('append');
        return writer.append(data);
      },
      appendHole: async (length) => {
        await this.#check('append');
        await writer.appendHole(length);
      },
      persist: async () => {
        await this.#check('persist');
        await writer.persist();
      },
      read: async (offset, target) => {
        await this.#check('read');
        return writer.read(offset, target);
      },
      complete: async () => {
        await this.#check('complete');
        await writer.complete();
      },
      close: () => writer.close(),
    };
  }

  async #check(operation: StoreOperation): Promise<void> {
    const delayMs = this.#delaysMs.get(operation);
    if (delayMs !== undefined) {
      await delay(delayMs);
    }
    const held = this.#held.get(operation);
    held?.asked();
    await held?.free;
    const errno = this.#errnos.get(operation);
    if (errno !== undefined) {
      throw storageError(
        Object.assign(new Error(`made to fail: ${errno}`), { code: errno }),
        operation,
      );
    }
  }
}
