import type { Caller } from '../../access/caller.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';

const retryDelayMs = 1000;

/** How many watches there may be at the same time in this process. */
export interface WatchLimits {
  readonly maxWatches: number;
  /** Of one user in one project. */
  readonly maxWatchesPerCaller: number;
}

/** A place of a watch, to be left once. All watches of a caller have the same, so that it takes no memory of theirs. */
export interface WatchPlace {
  leave(): void;
}

/**
 * Counts watches, of each caller and in all: each holds a stream for as long as its client likes, and costs its client next
 * to nothing.
 */
export class WatchPlaces {
  readonly #limits: WatchLimits;
  readonly #callers = new Map<string, CallerPlaces>();
  #taken = 0;

  constructor(limits: WatchLimits) {
    this.#limits = limits;
  }

  /** How many watches there are. */
  get taken(): number {
    return this.#taken;
  }

  /**
   * Takes a place for one more.
   *
   * @throws DarkroomError TOO_MANY_WATCHES where the caller, or all together, have as many as they may.
   */
  take({ projectId, userId }: Caller): WatchPlace {
    const { maxWatches, maxWatchesPerCaller } = this.#limits;
    const key = JSON.stringify([projectId, userId]);
    const places = this.#callers.get(key) ?? new CallerPlaces(() => this.#left(key));
    if (places.taken >= maxWatchesPerCaller) {
      throw tooMany(
        `The ${maxWatchesPerCaller} watches that one caller may have at a time are under way. End some, or follow many ` +
          'tasks by one WatchTasks; the operator may raise DARKROOM_MAX_WATCHES_PER_CALLER.',
        maxWatchesPerCaller,
      );
    }
    if (this.#taken >= maxWatches) {
      throw tooMany(
        `All ${maxWatches} watches that this process serves at a time are under way. Try again later; the operator may ` +
          'raise DARKROOM_MAX_WATCHES.',
        maxWatches,
      );
    }
    this.#callers.set(key, places);
    places.taken += 1;
    this.#taken += 1;
    return places;
  }

  #left(key: string): void {
    this.#taken -= 1;
    if (this.#callers.get(key)?.taken === 0) {
      this.#callers.delete(key);
    }
  }
}

class CallerPlaces implements WatchPlace {
  readonly #onLeave: () => void;
  taken = 0;

  constructor(onLeave: () => void) {
    this.#onLeave = onLeave;
  }

  leave(): void {
    this.taken -= 1;
    this.#onLeave();
  }
}

function tooMany(message: string, limit: number): DarkroomError {
  return new DarkroomError('TOO_MANY_WATCHES', message, {
    metadata: { limit: String(limit) },
    retryDelayMs,
  });
}
