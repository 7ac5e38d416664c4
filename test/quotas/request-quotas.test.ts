import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { Database } from '../../src/database/database.ts';
import { RequestQuotas } from '../../src/quotas/request-quotas.ts';
import { openDatabase } from '../support/test-database.ts';

const logger = pino({ level: 'silent' });

test('requests a second of a project are those of its limit over all processes, and others are not concerned', async () => {
  const { database, url } = await openDatabase();
  const other = await Database.connect({ url, poolSize: 2, onWarning: () => {} });
  onTestFinished(() => other.close());
  await database.pool.query(
    `insert into project_quotas (project_id, max_requests_per_second, stored_bytes, in_flight_bytes, images, live_tasks)
     values ('greedy', 50, 0, 0, 0, 0)`,
  );
  const processes = [database, other].map((each) => ({
    each,
    quotas: new RequestQuotas(0, logger),
  }));
  for (const { each, quotas } of processes) {
    await quotas.start(each);
    onTestFinished(() => quotas.stop());
  }
  const begun = performance.now();
  let admitted = 0;
  for (let i = 0; i < 500; i += 1) {
    const refusal = await processes[i % 2]!.quotas.refusalOf('greedy');
    if (refusal === undefined) {
      admitted += 1;
    } else {
      expect(refusal).toMatchObject({
        reason: 'QUOTA_EXCEEDED',
        retryDelayMs: 20,
        metadata: { quota: 'requests_per_second', limit: '50' },
      });
    }
  }
  const seconds = (performance.now() - begun) / 1000;
  expect(admitted).toBeGreaterThanOrEqual(50);
  expect(admitted).toBeLessThanOrEqual((seconds + 1) * 50 + 10);
  expect(processes[0]!.quotas.refusalOf('modest')).toBeUndefined();
});

test('without any limit a request is let pass at once, and so while the database is away', async () => {
  expect(new RequestQuotas(0, logger).refusalOf('any')).toBeUndefined();
  expect(new RequestQuotas(1, logger).refusalOf('any')).toBeUndefined();
});
