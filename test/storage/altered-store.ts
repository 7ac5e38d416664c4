import type { BlobStore } from '../../src/storage/blob-store.ts';

/** The store with some of its methods replaced. */
export function alteredStore(store: BlobStore, changes: Partial<BlobStore>): BlobStore {
  return {
    openWriter: (id, length) => store.openWriter(id, length),
    openReader: (id) => store.openReader(id),
    heldBytes: (id) => store.heldBytes(id),
    complete: (id, length) => store.complete(id, length),
    remove: (id) => store.remove(id),
    list: () => store.list(),
    check: () => store.check(),
    ...changes,
  };
}
