import { Batch } from './batch.ts';

/** Gathers single reads into batches, in which each key is read once for all who ask for it. */
export class BatchedRead<Key, Value> {
  readonly #batch: Batch<Key, Value | undefined>;
  /** What was asked for and is not being read yet. */
  readonly #asked = new Map<Key, Promise<Value | undefined>>();

  constructor(
    readBatch: (keys: readonly Key[]) => Promise<ReadonlyMap<Key, Value>>,
    maxBatch: number,
  ) {
    this.#batch = new Batch(async (keys) => {
      for (const key of keys) {
        this.#asked.delete(key);
      }
      const values = await readBatch(keys);
      return keys.map((key) => values.get(key));
    }, maxBatch);
  }

  /** The value of a key, read after the call; undefined where there is none. @throws what `readBatch` throws. */
  read(key: Key): Promise<Value | undefined> {
    let asked = this.#asked.get(key);
    if (asked === undefined) {
      asked = this.#batch.add(key);
      this.#asked.set(key, asked);
    }
    return asked;
  }
}
