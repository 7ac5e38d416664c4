import { settledWithin } from '../domain/settled-within.ts';
import { isDatabaseAway } from './database-away.ts';

/**
 * How long a batch is waited for before the next one goes out beside it, in ms. Most take a few; one that
 * takes longer waits for a disk or a connection, and the others need not.
 */
const patienceMs = 50;

interface Waiting<Item, Answer> extends PromiseWithResolvers<Answer> {
  readonly item: Item;
}

/**
 * Gathers what single calls ask of the database into batches, each one statement and one transaction. One batch
 * is under way at a time; what is asked for meanwhile makes up the next. So nothing is answered from a statement
 * that began before it was asked for, nobody who is alone waits, and the more callers there are, the less each
 * costs: of a round trip the system calls are the most, and of a small transaction its sync. A transaction that
 * notifies shares its sync with no other one: PostgreSQL commits those one after the other.
 */
export class Batch<Item, Answer> {
  readonly #work: (items: readonly Item[]) => Promise<readonly Answer[]>;
  readonly #maxItems: number;
  #waiting: Waiting<Item, Answer>[] = [];
  #isRunning = false;

  /** @param work does the work for all items, or for none; answers in their order. */
  constructor(work: (items: readonly Item[]) => Promise<readonly Answer[]>, maxItems: number) {
    this.#work = work;
    this.#maxItems = maxItems;
  }

  /** Has an item worked on. @throws what `work` throws for it. */
  add(item: Item): Promise<Answer> {
    const waiting = { item, ...Promise.withResolvers<Answer>() };
    this.#waiting.push(waiting);
    if (!this.#isRunning) {
      this.#isRunning = true;
      // After all that comes in the same turn of the event loop.
      setImmediate(() => void this.#runAll());
    }
    return waiting.promise;
  }

  /** Never rejects. */
  async #runAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, this.#maxItems);
      this.#waiting = this.#waiting.slice(this.#maxItems);
      await settledWithin(this.#run(batch), patienceMs);
    }
    this.#isRunning = false;
  }

  /** Never rejects. */
  async #run(batch: readonly Waiting<Item, Answer>[]): Promise<void> {
    try {
      const answers = await this.#work(batch.map(({ item }) => item));
      batch.forEach(({ resolve }, i) => resolve(answers[i] as Answer));
    } catch (error) {
      if (batch.length === 1 || isDatabaseAway(error)) {
        batch.forEach(({ reject }) => reject(error));
      } else {
        // Whatever is wrong with one of them is not the others' fault.
        await Promise.all(batch.map((waiting) => this.#run([waiting])));
      }
    }
  }
}
