import { expect, test } from 'vitest';
import { forgetAlarm, wakeAt, type Sleeper } from '../../../src/tasks/watching/alarms.ts';
import { wakeInTurns, type Wakeable } from '../../../src/tasks/watching/wakes.ts';

/** Takes its time: as many as would hold the loop for long. */
function busy(wake: () => void): Wakeable {
  return {
    wake() {
      const end = performance.now() + 0.1;
      while (performance.now() < end);
      wake();
    },
  };
}

test('a group that comes later does not wait for all of the one before', async () => {
  const woken: string[] = [];
  wakeInTurns(Array.from({ length: 1000 }, () => busy(() => woken.push('crowd'))));
  wakeInTurns([{ wake: () => woken.push('single') }]);
  await expect.poll(() => woken.length).toBe(1001);
  expect(woken.indexOf('single')).toBeLessThan(500);
});

test('other work has its turn while many are woken', async () => {
  let woken = 0;
  wakeInTurns(Array.from({ length: 1000 }, () => busy(() => (woken += 1))));
  await new Promise(setImmediate);
  expect(woken).toBeLessThan(1000);
  await expect.poll(() => woken).toBe(1000);
});

test('who leaves while he waits is not woken', async () => {
  let woken = 0;
  const group = new Set(Array.from({ length: 500 }, () => busy(() => (woken += 1))));
  const last: Wakeable = { wake: () => expect.unreachable('it has left') };
  group.add(last);
  wakeInTurns(group);
  group.delete(last);
  await expect.poll(() => woken).toBe(500);
});

function sleeper(wake: () => void): Sleeper {
  return { wake, alarm: undefined };
}

test('an alarm wakes at its time, and all of the same time with one timer', async () => {
  const woken: string[] = [];
  const at = performance.now() + 30;
  const names = ['a', 'b', 'c'];
  const sleepers = names.map((name) => sleeper(() => woken.push(name)));
  sleepers.forEach((one) => wakeAt(one, at));
  expect(new Set(sleepers.map(({ alarm }) => alarm)).size).toBe(1);
  await expect.poll(() => woken).toEqual(names);
  expect(sleepers.map(({ alarm }) => alarm)).toEqual([undefined, undefined, undefined]);
});

test('an alarm can be set earlier, is not put off, and can be forgotten', async () => {
  const woken: string[] = [];
  const now = performance.now();
  const earlier = sleeper(() => woken.push('earlier'));
  wakeAt(earlier, now + 3_600_000);
  wakeAt(earlier, now + 20);
  const putOff = sleeper(() => woken.push('put off'));
  wakeAt(putOff, now + 20);
  wakeAt(putOff, now + 3_600_000);
  const forgotten = sleeper(() => woken.push('forgotten'));
  wakeAt(forgotten, now + 10);
  forgetAlarm(forgotten);
  await expect.poll(() => woken.toSorted()).toEqual(['earlier', 'put off']);
});
