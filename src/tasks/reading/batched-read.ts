interface Waiting<Value> {
  readonly promise: Promise<Value | undefined>;
  readonly resolve: (value: Value | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Gathers single reads into batches. One batch is read at a time; what is asked for meanwhile makes up
 * the next. So a read is never answered from a query that began before it was asked for.
 */
export class BatchedRead<Key, Value> {
  readonly #readBatch: (keys: readonly Key[]) => Promise<ReadonlyMap<Key, Value>>;
  readonly #maxBatch: number;
  readonly #waiting = new Map<Key, Waiting<Value>>();
  #isReading = false;

  constructor(
    readBatch: (keys: readonly Key[]) => Promise<ReadonlyMap<Key, Value>>,
    maxBatch: number,
  ) {
    this.#readBatch = readBatch;
    this.#maxBatch = maxBatch;
  }

  /** The value of a key; undefined where the batch has none. @throws what `readBatch` throws. */
  read(key: Key): Promise<Value | undefined> {
    let waiting = this.#waiting.get(key);
    if (waiting === undefined) {
      waiting = Promise.withResolvers<Value | undefined>();
      this.#waiting.set(key, waiting);
      if (!this.#isReading) {
        this.#isReading = true;
        // After all that is asked for in the same turn.
        queueMicrotask(() => void this.#readAll());
      }
    }
    return waiting.promise;
  }

  async #readAll(): Promise<void> {
    while (this.#waiting.size > 0) {
      const batch = new Map(this.#waiting.entries().take(this.#maxBatch));
      for (const key of batch.keys()) {
        this.#waiting.delete(key);
      }
      try {
        const values = await this.#readBatch([...batch.keys()]);
        for (const [key, { resolve }] of batch) {
          resolve(values.get(key));
        }
      } catch (error) {
        for (const { reject } of batch.values()) {
          reject(error);
        }
      }
    }
    this.#isReading = false;
  }
}
