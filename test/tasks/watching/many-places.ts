import { WatchPlaces } from '../../../src/tasks/watching/watch-places.ts';

/** Takes 100,000 places, and writes how many bytes of the heap each is. A process of its own, for its heap is measured. */

const count = 100_000;
const places = new WatchPlaces({ maxWatches: count, maxWatchesPerCaller: count });

function used(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

const before = used();
const taken = await Promise.all(
  Array.from({ length: count }, (_, i) =>
    places.take({ projectId: 'garden', userId: `user-${i % 1000}`, role: 'member' }),
  ),
);
const bytes = (used() - before) / count;
process.stdout.write(String(taken.length === count ? bytes : Number.NaN));
