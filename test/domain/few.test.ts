import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Few } from '../../src/domain/few.ts';

const things = [{ name: 'a' }, { name: 'b' }, { name: 'c' }];
const step = fc.record({
  what: fc.constantFrom('add', 'delete'),
  which: fc.nat(things.length - 1),
});

test('a few are a set, whatever is added to it and deleted', () => {
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const few = new Few<object>();
      const set = new Set<object>();
      for (const { what, which } of steps) {
        const thing = things[which]!;
        if (what === 'add') {
          few.add(thing);
          set.add(thing);
        } else {
          expect(few.delete(thing)).toBe(set.delete(thing));
        }
        expect(few.size).toBe(set.size);
        expect([...few]).toEqual([...set]);
      }
    }),
  );
});

test('what is deleted while it waits for its turn is skipped', () => {
  const one = new Few<object>();
  one.add(things[0]!);
  const alone = one[Symbol.iterator]();
  one.delete(things[0]!);
  expect(alone.next().done).toBe(true);

  const two = new Few<object>();
  two.add(things[0]!);
  two.add(things[1]!);
  const both = two[Symbol.iterator]();
  expect(both.next().value).toBe(things[0]);
  two.delete(things[1]!);
  expect(both.next().done).toBe(true);

  const three = new Few<object>();
  things.forEach((thing) => three.add(thing));
  const all = three[Symbol.iterator]();
  expect(all.next().value).toBe(things[0]);
  things.forEach((thing) => three.delete(thing));
  expect(all.next().done).toBe(true);
});
