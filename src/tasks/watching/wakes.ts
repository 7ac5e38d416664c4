/** Whoever waits for something to be told. */
export interface Wakeable {
  /** There may be something to tell: look. Called synchronously; must not throw. */
  wake(): void;
}

/** How long the loop is held at a time, in ms. */
const sliceMs = 2;
/** How many of one group are woken before the next group has its turn. */
const turnSize = 32;

const groups: Iterator<Wakeable>[] = [];
let isUnderWay = false;

/**
 * Wakes all of a group, the first of them at once. A wake writes to a stream, for some 15 µs, so that a thousand watchers of
 * a task would hold the loop, and all that others wait for, for 15 ms: groups take turns, and after 2 ms all else
 * has its turn, too.
 *
 * @param group who leaves it while he waits is not woken any more, if it is a Set or Few.
 */
export function wakeInTurns(group: Iterable<Wakeable>): void {
  groups.push(group[Symbol.iterator]());
  if (!isUnderWay) {
    wakeSlice();
  }
}

function wakeSlice(): void {
  isUnderWay = true;
  const end = performance.now() + sliceMs;
  for (let group = groups.shift(); group !== undefined; group = groups.shift()) {
    if (wakeTurn(group)) {
      groups.push(group);
    }
    if (performance.now() >= end) {
      break;
    }
  }
  isUnderWay = groups.length > 0;
  if (isUnderWay) {
    setImmediate(wakeSlice);
  }
}

/** Answers whether there may be more of the group. */
function wakeTurn(group: Iterator<Wakeable>): boolean {
  for (let i = 0; i < turnSize; i += 1) {
    const next = group.next();
    if (next.done === true) {
      return false;
    }
    next.value.wake();
  }
  return true;
}
