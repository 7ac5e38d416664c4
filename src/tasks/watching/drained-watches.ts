import { wakeInTurns, type Wakeable } from './wakes.ts';

const following = new WeakMap<AbortSignal, Set<Wakeable>>();

/**
 * Wakes a watch, in turn with all others, when the service begins to stop. Not by a function of each watch, as
 * `onSharedAbort` has it: that took 0.2 KiB for each of ten thousand.
 */
export function followDrain(drainSignal: AbortSignal, watch: Wakeable): void {
  const all = following.get(drainSignal) ?? beginToFollow(drainSignal);
  all.add(watch);
}

/** Ends what `followDrain` began. */
export function unfollowDrain(drainSignal: AbortSignal, watch: Wakeable): void {
  following.get(drainSignal)?.delete(watch);
}

function beginToFollow(drainSignal: AbortSignal): Set<Wakeable> {
  const all = new Set<Wakeable>();
  following.set(drainSignal, all);
  drainSignal.addEventListener('abort', () => wakeInTurns(all), { once: true });
  return all;
}
