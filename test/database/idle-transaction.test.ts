import { expect, test } from 'vitest';
import { isDatabaseAway } from '../../src/database/database-away.ts';
import { Database } from '../../src/database/database.ts';
import { patience } from '../support/held-upload.ts';
import { openDatabase } from '../support/test-database.ts';

test('a process that is frozen in the middle of a transaction loses its locks, and learns of it', async () => {
  const { database: other, url } = await openDatabase();
  const frozen = await Database.connect({
    url,
    poolSize: 1,
    idleTransactionMs: 50,
    onWarning: () => {},
  });
  try {
    const [held, awake] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const work = frozen.fork().transactional(async (em) => {
      await em.execute('select pg_advisory_xact_lock(1)');
      held.resolve();
      await awake.promise;
      await em.execute('select 1');
    });
    const isFree = async (): Promise<unknown> => {
      const { rows } = await other.pool.query<{ free: boolean }>(
        'select pg_try_advisory_xact_lock(1) as free',
      );
      return rows[0]?.free;
    };
    await held.promise;
    await expect.poll(isFree, patience).toBe(true);
    awake.resolve();
    const error: unknown = await work.catch((failure: unknown) => failure);
    expect(isDatabaseAway(error), String(error)).toBe(true);
    expect(await frozen.isReachable()).toBe(true);
  } finally {
    await frozen.close();
  }
});
