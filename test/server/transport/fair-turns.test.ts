import { expect, it } from 'vitest';
import { FairTurns } from '../../../src/server/transport/fair-turns.ts';

/** Takes so long, as work does. */
function busyFor(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until) {
    // Nothing but time.
  }
}

/** One turn of the event loop. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

it('does the work of each in its order, and that of all in turn', async () => {
  const turns = new FairTurns();
  const [many, few] = [{}, {}];
  const done: string[] = [];
  for (let i = 0; i < 4; i += 1) {
    turns.take(many, () => done.push(`many ${i}`));
  }
  turns.take(few, () => done.push('few 0'));
  expect(done).toEqual([]);
  await expect.poll(() => done.length).toBe(5);
  expect(done).toEqual(['many 0', 'few 0', 'many 1', 'many 2', 'many 3']);
});

it('leaves all else its turn, and who comes later waits for one piece of each and not for all', async () => {
  const turns = new FairTurns();
  const [many, few] = [{}, {}];
  let done = 0;
  for (let i = 0; i < 100; i += 1) {
    turns.take(many, () => {
      busyFor(1);
      done += 1;
    });
  }
  await turn();
  expect(done).toBeGreaterThan(0);
  expect(done).toBeLessThan(100);
  let doneBefore = Number.NaN;
  const had = done;
  turns.take(few, () => (doneBefore = done));
  await expect.poll(() => doneBefore).toBeLessThanOrEqual(had + 1);
  await expect.poll(() => done).toBe(100);
});

it('goes on when nothing waited for a while', async () => {
  const turns = new FairTurns();
  for (let round = 0; round < 3; round += 1) {
    await new Promise<void>((resolve) => turns.take({}, resolve));
    await turn();
  }
});
