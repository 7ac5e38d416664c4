import type { Connection } from './connection.ts';
import { readFailure } from './call-failure.ts';
import type { Journal } from './journal.ts';
import type { Random } from './random.ts';
import type { HungStream } from './stream-attempt.ts';
import type { Upload } from './upload.ts';

/** A superseded stream that sends again must be told of it within this time, in ms. */
const fenceTimeoutMs = 30_000;

/** What a superseded writer may be told. */
const fenceReasons: ReadonlySet<string | undefined> = new Set([
  'WRITER_FENCED',
  'TASK_TERMINAL',
  // The upload has succeeded: what comes again is compared with it, whatever the epoch, and nothing of it lands.
  'REPLAY_MISMATCH',
  'TASK_EXPIRED',
  // Its process ended, or the connection did: it was not told at all, or not why.
  undefined,
  'SERVER_DRAINING',
  'DATABASE_UNAVAILABLE',
  'CONNECTION_LOST',
]);

interface Hung extends HungStream {
  readonly connection: Connection;
}

/** The streams that a client has left open, and that were superseded since. */
export class HungStreams {
  readonly #upload: Upload;
  readonly #journal: Journal;
  readonly #silent = new Set<Hung>();
  readonly #waking: { readonly hung: Hung; readonly done: Promise<void> }[] = [];

  constructor(upload: Upload, journal: Journal) {
    this.#upload = upload;
    this.#journal = journal;
  }

  /** Whether one is still silent. */
  get any(): boolean {
    return this.#silent.size > 0;
  }

  /** Keeps a stream that has just become silent. */
  add(connection: Connection, stream: HungStream): void {
    this.#journal.counts.add('streams left hanging');
    this.#silent.add({ ...stream, connection });
  }

  /** Whether a connection belongs to one of them. */
  uses(connection: Connection): boolean {
    return [...this.#silent].some((hung) => hung.connection === connection);
  }

  /** Says that the upload was resumed: soon they send again, and nothing of it may land. */
  wakeSoon(random: Random): void {
    for (const hung of this.#silent) {
      this.#waking.push({ hung, done: this.#wake(hung, random.int(0, 600)) });
    }
    this.#silent.clear();
  }

  /** Resolves when all of them have ended. */
  async end(): Promise<void> {
    for (const hung of this.#silent) {
      hung.connection.cut();
    }
    this.#silent.clear();
    await Promise.all(this.#waking.map(({ done }) => done));
  }

  async #wake(hung: Hung, afterMs: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    const isPoisonous = hung.wake();
    const late = new Promise<'late'>((resolve) => {
      setTimeout(resolve, fenceTimeoutMs, 'late').unref();
    });
    const { name } = this.#upload.plan;
    try {
      const answer = await Promise.race([hung.answer, late]);
      if (answer === 'late') {
        this.#journal.violate(
          `${name}: a superseded stream was not ended within ${fenceTimeoutMs / 1000} s`,
        );
      } else if (isPoisonous) {
        this.#journal.violate(`${name}: a superseded stream was answered as if all were well`);
      }
    } catch (error) {
      const failure = readFailure(error);
      this.#journal.counts.add(`superseded stream got ${failure.reason ?? 'nothing'}`);
      if (isPoisonous && !fenceReasons.has(failure.reason)) {
        this.#journal.violate(`${name}: a superseded stream got ${failure.message}`);
      }
    } finally {
      hung.connection.cut();
    }
  }
}
