import type { Caller } from '../../access/caller.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';

const retryDelayMs = 1000;

/** Places that a caller has and does not use are given back after so long, in ms: no later than who is refused asks again. */
const giveBackMs = 1000;

/** Of its limit a caller is given this part at a time, so that not each watch is a statement of its own. */
const sliceShare = 1 / 64;

/** How many watches there may be at the same time. */
export interface WatchLimits {
  /** In this process. */
  readonly maxWatches: number;
  /** Of one user in one project, in all processes. */
  readonly maxWatchesPerCaller: number;
}

/** Who watches: a user in a project. */
export type Watcher = Pick<Caller, 'projectId' | 'userId'>;

/** What a process has of the places that a caller may have in all processes together. */
export interface SharedPlaces {
  /**
   * Takes more places for a caller; answers how many it was given, none if others have all.
   *
   * @param allowed in all processes.
   * @throws the driver's errors; the places may have been taken all the same.
   */
  take(watcher: Watcher, wanted: number, allowed: number): Promise<number>;
  /** Says how many this process has. @throws the driver's errors */
  keep(all: readonly (Watcher & { readonly places: number })[]): Promise<void>;
}

/** A place of a watch, to be left once. All watches of a caller have the same, so that it takes no memory of theirs. */
export interface WatchPlace {
  leave(): void;
}

/**
 * Counts watches, of each caller and in all: each holds a stream for as long as its client likes, and costs its client next
 * to nothing.
 *
 * Those of a caller are counted over all processes: a process takes places from what they share, some at a time, and gives back
 * what it does not use within a second. So there are never more than are allowed, and who is refused while another process
 * has some that it does not use is let in when he tries again. A process that was taken for lost and goes on keeps its watches.
 */
export class WatchPlaces {
  readonly #limits: WatchLimits;
  readonly #shared: SharedPlaces | undefined;
  readonly #callers = new Map<string, CallerPlaces>();
  #taken = 0;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  /** @param shared by all processes; not set where there is but one. */
  constructor(limits: WatchLimits, shared?: SharedPlaces) {
    this.#limits = limits;
    this.#shared = shared;
  }

  /** How many watches there are. */
  get taken(): number {
    return this.#taken;
  }

  /**
   * Takes a place for one more.
   *
   * @throws DarkroomError TOO_MANY_WATCHES where the caller, or all together, have as many as they may; the driver's errors.
   */
  async take({ projectId, userId }: Caller): Promise<WatchPlace> {
    if (this.#taken >= this.#limits.maxWatches) {
      throw allTaken(this.#limits.maxWatches);
    }
    const key = JSON.stringify([projectId, userId]);
    const places =
      this.#callers.get(key) ??
      new CallerPlaces(
        { projectId, userId },
        this.#shared === undefined ? this.#limits.maxWatchesPerCaller : 0,
        (left) => this.#left(key, left),
      );
    this.#callers.set(key, places);
    places.taken += 1;
    this.#taken += 1;
    if (places.taken > places.given) {
      await this.#takeShared(places);
    }
    return places;
  }

  /** Says anew how many there are: what the processes share has forgotten it. */
  tellAll(): void {
    for (const places of this.#callers.values()) {
      places.isTold = false;
    }
    this.#tellSoon();
  }

  /** Gives nothing back any more. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  async #takeShared(places: CallerPlaces): Promise<void> {
    try {
      while (places.taken > places.given) {
        const given = await (places.asking ??= this.#ask(places));
        // Those who are refused go one by one, until no more are left than were given.
        if (given === 0 && places.taken > places.given) {
          throw tooManyOfCaller(this.#limits.maxWatchesPerCaller);
        }
      }
    } catch (error) {
      places.leave();
      throw error;
    }
  }

  /** Answers how many more were given. */
  async #ask(places: CallerPlaces): Promise<number> {
    const { maxWatchesPerCaller } = this.#limits;
    const missing = places.taken - places.given;
    const wanted = Math.max(missing, Math.floor(maxWatchesPerCaller * sliceShare));
    try {
      const given = (await this.#shared?.take(places.watcher, wanted, maxWatchesPerCaller)) ?? 0;
      places.given += given;
      return given;
    } catch (error) {
      places.isTold = false;
      throw error;
    } finally {
      places.asking = undefined;
      this.#tellSoon();
    }
  }

  #left(key: string, places: CallerPlaces): void {
    this.#taken -= 1;
    if (this.#shared !== undefined) {
      this.#tellSoon();
    } else if (places.taken === 0) {
      this.#callers.delete(key);
    }
  }

  #tellSoon(): void {
    if (!this.#isStopped && this.#shared !== undefined) {
      this.#timer ??= setTimeout(() => void this.#tell(this.#shared), giveBackMs).unref();
    }
  }

  /** Gives back what is not used, and says what could not be said before. Never rejects. */
  async #tell(shared: SharedPlaces | undefined): Promise<void> {
    this.#timer = undefined;
    const due = [...this.#callers.values()].filter(
      ({ asking, isTold, given, taken }) => asking === undefined && (!isTold || given > taken),
    );
    if (shared === undefined || due.length === 0) {
      return;
    }
    for (const places of due) {
      places.given = Math.min(places.given, places.taken);
    }
    const telling = shared
      .keep(due.map(({ watcher, given }) => ({ ...watcher, places: given })))
      .then(
        () => true,
        () => false,
      );
    // Who wants more waits, or what is said here would count less than was given meanwhile.
    const waited = telling.then(() => -1);
    for (const places of due) {
      places.asking = waited;
    }
    const isTold = await telling;
    for (const places of due) {
      places.isTold = isTold;
      places.asking = undefined;
      if (places.taken === 0 && isTold) {
        this.#callers.delete(keyOf(places.watcher));
      }
    }
    if (!isTold) {
      this.#tellSoon();
    }
  }
}

function keyOf({ projectId, userId }: Watcher): string {
  return JSON.stringify([projectId, userId]);
}

class CallerPlaces implements WatchPlace {
  readonly watcher: Watcher;
  readonly #onLeave: (places: CallerPlaces) => void;
  /** Also by those who wait for an answer. */
  taken = 0;
  /** To this process. */
  given: number;
  /** Whether the others know how many were given. */
  isTold = true;
  /** An answer that is waited for: how many more were given, 0 for none, and less where something else had to be said first. */
  asking: Promise<number> | undefined;

  constructor(watcher: Watcher, given: number, onLeave: (places: CallerPlaces) => void) {
    this.watcher = watcher;
    this.given = given;
    this.#onLeave = onLeave;
  }

  leave(): void {
    this.taken -= 1;
    this.#onLeave(this);
  }
}

function tooManyOfCaller(limit: number): DarkroomError {
  return tooMany(
    `The ${limit} watches that one caller may have at a time are under way. End some, or follow many tasks by one ` +
      'WatchTasks; the operator may raise DARKROOM_MAX_WATCHES_PER_CALLER.',
    limit,
  );
}

function allTaken(limit: number): DarkroomError {
  return tooMany(
    `All ${limit} watches that this process serves at a time are under way. Try again later; the operator may raise ` +
      'DARKROOM_MAX_WATCHES.',
    limit,
  );
}

function tooMany(message: string, limit: number): DarkroomError {
  return new DarkroomError('TOO_MANY_WATCHES', message, {
    metadata: { limit: String(limit) },
    retryDelayMs,
  });
}
