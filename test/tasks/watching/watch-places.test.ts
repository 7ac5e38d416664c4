import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { WatchPlaces, type WatchPlace } from '../../../src/tasks/watching/watch-places.ts';

const ann = { projectId: 'garden', userId: 'ann', role: 'member' } as const;
const bob = { ...ann, userId: 'bob' };
const annElsewhere = { ...ann, projectId: 'forest' };

async function reasonOf(take: () => Promise<WatchPlace>): Promise<string | undefined> {
  try {
    await take();
    return undefined;
  } catch (error) {
    return error instanceof DarkroomError ? `${error.reason} ${error.metadata['limit']}` : 'other';
  }
}

test('a caller has so many places, and a user is another caller in each project', async () => {
  const places = new WatchPlaces({ maxWatches: 100, maxWatchesPerCaller: 2 });
  const first = await places.take(ann);
  await places.take(ann);
  expect(await reasonOf(() => places.take(ann))).toBe('TOO_MANY_WATCHES 2');
  expect(await reasonOf(() => places.take({ ...ann, role: 'reader' }))).toBe('TOO_MANY_WATCHES 2');
  await places.take(bob);
  await places.take(annElsewhere);
  first.leave();
  await places.take(ann);
  expect(await reasonOf(() => places.take(ann))).toBe('TOO_MANY_WATCHES 2');
  expect(places.taken).toBe(4);
});

test('all callers together have so many', async () => {
  const places = new WatchPlaces({ maxWatches: 3, maxWatchesPerCaller: 2 });
  const taken = await Promise.all([places.take(ann), places.take(ann), places.take(bob)]);
  expect(await reasonOf(() => places.take(bob))).toBe('TOO_MANY_WATCHES 3');
  taken.forEach((place) => place.leave());
  expect(places.taken).toBe(0);
  expect(await reasonOf(() => places.take(bob))).toBe(undefined);
});

test('names that could be taken for each other are not', async () => {
  const places = new WatchPlaces({ maxWatches: 10, maxWatchesPerCaller: 1 });
  await places.take({ ...ann, projectId: 'a"', userId: 'b' });
  expect(await reasonOf(() => places.take({ ...ann, projectId: 'a', userId: '"b' }))).toBe(
    undefined,
  );
});

test('a place takes no memory of its own', async () => {
  const script = join(import.meta.dirname, 'many-places.ts');
  const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', script]);
  // 100,000 of 1,000 callers, and the array in which the script has them.
  expect(Number(stdout)).toBeLessThan(100);
});
