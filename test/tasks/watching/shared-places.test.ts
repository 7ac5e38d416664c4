import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import type { Database } from '../../../src/database/database.ts';
import { newId, type ProcessId } from '../../../src/records/ids.ts';
import { StoredPlaces } from '../../../src/tasks/watching/shared-places.ts';
import { WatchPlaces, type WatchPlace } from '../../../src/tasks/watching/watch-places.ts';
import { patience } from '../../support/held-upload.ts';
import { useDatabase } from '../../support/test-database.ts';

const open = useDatabase();

/** A caller of its own for each test. */
let callers = 0;
function caller() {
  callers += 1;
  return { projectId: 'garden', userId: `user ${callers}`, role: 'member' } as const;
}

interface Process {
  readonly id: ProcessId;
  readonly places: WatchPlaces;
}

async function register(id: ProcessId): Promise<void> {
  await open().pool.query(
    `insert into processes (id, host, pid) values ($1, 'test', 1) on conflict do nothing`,
    [id],
  );
}

/** A process as far as places of watches go. */
async function startProcess(
  maxWatchesPerCaller: number,
  database: Database = open(),
): Promise<Process> {
  const id = newId<ProcessId>();
  await register(id);
  const shared = new StoredPlaces(database, id);
  const places = new WatchPlaces({ maxWatches: 100_000, maxWatchesPerCaller }, shared);
  onTestFinished(async () => {
    places.stop();
    await open().pool.query('delete from processes where id = $1', [id]);
  });
  return { id, places };
}

/** Takes so many at once; those that were given. */
async function takeMany(
  { places }: Process,
  who: ReturnType<typeof caller>,
  count: number,
): Promise<WatchPlace[]> {
  const settled = await Promise.allSettled(Array.from({ length: count }, () => places.take(who)));
  return settled.flatMap((one) => {
    if (one.status === 'fulfilled') {
      return [one.value];
    }
    expect(one.reason).toMatchObject({ reason: 'TOO_MANY_WATCHES', retryDelayMs: 1000 });
    return [];
  });
}

test.each([1, 7, 50, 640])(
  'four processes at once give a caller %d places, never one more, and others theirs',
  async (limit) => {
    const processes = await Promise.all(Array.from({ length: 4 }, () => startProcess(limit)));
    const who = caller();
    const other = caller();
    const all: WatchPlace[] = [];
    const take = async (process: Process): Promise<void> => {
      all.push(...(await takeMany(process, who, limit)));
      expect(all.length).toBeLessThanOrEqual(limit);
    };
    await Promise.all(processes.map(take));
    // What one of them was given and does not use another has a moment later.
    await expect
      .poll(async () => {
        await Promise.all(processes.map(take));
        return all.length;
      }, patience)
      .toBe(limit);
    expect(await takeMany(processes[3]!, who, 1)).toEqual([]);
    expect(await takeMany(processes[0]!, other, 1)).toHaveLength(1);
  },
);

test('places that are left in one process are free in the others', async () => {
  const [first, second] = [await startProcess(3), await startProcess(3)];
  const who = caller();
  const taken = await takeMany(first, who, 3);
  expect(await takeMany(second, who, 1)).toEqual([]);
  taken.pop()!.leave();
  await expect.poll(() => takeMany(second, who, 2), patience).toHaveLength(1);
  expect(await takeMany(first, who, 1)).toEqual([]);
  taken.forEach((place) => place.leave());
  const others: WatchPlace[] = [];
  await expect.poll(async () => others.push(...(await takeMany(second, who, 2))), patience).toBe(2);
});

test('places of a process that is lost are free, and of one that is silent', async () => {
  const [first, second, third] = [
    await startProcess(2),
    await startProcess(2),
    await startProcess(2),
  ];
  const who = caller();
  expect(await takeMany(first, who, 2)).toHaveLength(2);
  await open().pool.query('delete from processes where id = $1', [first.id]);
  expect(await takeMany(second, who, 3)).toHaveLength(2);
  await open().pool.query(
    `update processes set heartbeat_time = now() - interval '11 seconds' where id = $1`,
    [second.id],
  );
  expect(await takeMany(third, who, 3)).toHaveLength(2);
});

test('a process that was taken for lost counts again once it is known again', async () => {
  const [first, second] = [await startProcess(5), await startProcess(5)];
  const who = caller();
  expect(await takeMany(first, who, 2)).toHaveLength(2);
  await open().pool.query('delete from processes where id = $1', [first.id]);
  // Nobody knows how many others there are; it goes on for itself.
  expect(await takeMany(first, who, 1)).toHaveLength(1);
  await register(first.id);
  first.places.tellAll();
  await expect
    .poll(
      async () =>
        (await open().pool.query('select held from watch_places where process_id = $1', [first.id]))
          .rows,
      patience,
    )
    .toEqual([{ held: 3 }]);
  expect(await takeMany(second, who, 5)).toHaveLength(2);
});

test('nothing is lost where the database fails: what was taken is told as soon as it can be', async () => {
  let isAway = false;
  const failing = Object.create(open(), {
    run: {
      value: async (...given: Parameters<Database['run']>) => {
        // It was done all the same: the answer alone is lost.
        const result = await open().run(...given);
        if (isAway) {
          throw new Error('the connection broke');
        }
        return result;
      },
    },
  }) as Database;
  const [first, second] = [await startProcess(4, failing), await startProcess(4)];
  const who = caller();
  const [kept] = await takeMany(first, who, 1);
  isAway = true;
  await expect(first.places.take(who)).rejects.toThrow('the connection broke');
  isAway = false;
  expect(first.places.taken).toBe(1);
  const others: WatchPlace[] = [];
  await expect.poll(async () => others.push(...(await takeMany(second, who, 5))), patience).toBe(3);
  expect(await takeMany(first, who, 1)).toEqual([]);
  kept!.leave();
});

test('whatever processes take and leave, a caller never has more than are allowed', async () => {
  const step = fc.record({
    process: fc.nat(2),
    takes: fc.nat(4),
    leaves: fc.nat(4),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 12 }),
      fc.integer({ min: 1, max: 9 }),
      async (steps, limit) => {
        const processes = await Promise.all([1, 2, 3].map(() => startProcess(limit)));
        const who = caller();
        const held = processes.map((): WatchPlace[] => []);
        const count = (): number => held.reduce((sum, of) => sum + of.length, 0);
        await Promise.all(
          steps.map(async ({ process, takes, leaves }) => {
            const given = await takeMany(processes[process]!, who, takes);
            held[process]!.push(...given);
            expect(count()).toBeLessThanOrEqual(limit);
            held[process]!.splice(0, leaves).forEach((place) => place.leave());
          }),
        );
        expect(processes.map(({ places }) => places.taken)).toEqual(held.map((of) => of.length));
      },
    ),
    { numRuns: 25 },
  );
});
