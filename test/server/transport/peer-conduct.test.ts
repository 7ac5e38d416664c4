import { expect, test } from 'vitest';
import { PeerConduct } from '../../../src/server/transport/peer-conduct.ts';

/** When each of so many connections that come at `now` is served. */
function turns(conduct: PeerConduct, now: number, count: number): (number | string)[] {
  return Array.from({ length: count }, () => conduct.takeTurn(now));
}

test('a peer that never flooded is served at once, however often it comes', () => {
  expect(new Set(turns(new PeerConduct(100), 0, 10_000))).toEqual(new Set([0]));
});

test('after a flood connections are served one by one, a pause apart', () => {
  const conduct = new PeerConduct(100);
  conduct.flooded(1000);
  expect(turns(conduct, 1000, 3)).toEqual([100, 200, 300]);
  expect(turns(conduct, 1350, 2)).toEqual([50, 150]);
});

test('a peer is trusted again once it has been calm for ten pauses', () => {
  const conduct = new PeerConduct(100);
  conduct.flooded(0);
  conduct.flooded(500);
  expect(conduct.isTrusted(1499)).toBe(false);
  expect(turns(conduct, 1499, 3)).toEqual([0, 100, 200]);
  expect(conduct.isTrusted(1500)).toBe(true);
  expect(turns(conduct, 1500, 3)).toEqual([0, 0, 0]);
});

test('a flood on each connection does not come sooner than a pause after the last', () => {
  const conduct = new PeerConduct(100);
  let now = 0;
  for (let floods = 0; floods < 50; floods += 1) {
    now += Number(conduct.takeTurn(now));
    conduct.flooded(now);
  }
  expect(now).toBeGreaterThanOrEqual(49 * 100);
});

test('no more than 50 wait for their turns, and later ones may again', () => {
  const conduct = new PeerConduct(100);
  conduct.flooded(0);
  const told = turns(conduct, 0, 100);
  expect(told.filter((turn) => turn !== 'tooManyWait')).toHaveLength(50);
  expect(told.at(-1)).toBe('tooManyWait');
  conduct.flooded(900);
  expect(conduct.takeTurn(900)).toBe(4200);
});

test('a pause of 0 forgives every flood', () => {
  const conduct = new PeerConduct(0);
  conduct.flooded(0);
  expect(turns(conduct, 0, 100).every((turn) => turn === 0)).toBe(true);
});
