import { randomBytes } from 'node:crypto';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { QuotaService } from '../../gen/darkroom/v1/quota_service_pb.ts';
import { ErrorInfoSchema, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { startService, uploadFrames, type RunningService } from '../support/running-service.ts';

const quotasOf = ({ process: { url } }: RunningService) =>
  createClient(QuotaService, createGrpcTransport({ baseUrl: url }));

const create = ({ images }: RunningService) =>
  images.createImage({
    image: { name: 'disk', diskFormat: 1 },
    source: { case: 'upload', value: {} },
  });

/** The columns that are counted, of the project and of what there is of it. */
async function countedAndTrue({ databaseUrl }: RunningService) {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  onTestFinished(() => client.end());
  const columns = 'stored_bytes::int, in_flight_bytes::int, images::int, live_tasks::int';
  const counted = await client.query<Record<string, number>>(
    `select ${columns} from project_quotas where project_id = 'default'`,
  );
  const truth = await client.query<Record<string, number>>(
    `select ${columns} from quota_truth('default')`,
  );
  return { counted: counted.rows[0], truth: truth.rows[0] };
}

test('a quota holds over several services, one of which is killed meanwhile, and its refusal says what is used', async () => {
  const first = await startService({ DARKROOM_MAX_IMAGES_PER_PROJECT: '100' });
  const second = await first.another();
  await quotasOf(second).updateQuota({
    limits: { images: 150n, storedBytes: 40_000_000n },
    updateMask: { paths: ['images', 'stored_bytes'] },
  });
  const content = randomBytes(6_000_000);
  const upload = async (service: RunningService): Promise<void> => {
    const { task } = await create(service);
    await service.images.uploadImage(uploadFrames(content, { taskId: task!.id }));
  };
  const onFirst = Array.from({ length: 4 }, () => upload(first));
  const onSecond = Array.from({ length: 4 }, () => upload(second));
  const creates = Array.from({ length: 200 }, (_, i) => create(i % 2 ? first : second));
  const all = Promise.allSettled([...creates, ...onFirst, ...onSecond]);
  await Promise.race(creates);
  await first.process.kill('SIGKILL');
  const outcomes = await all;
  const more = await Promise.allSettled(Array.from({ length: 200 }, () => create(second)));
  expect(outcomes.some(({ status }) => status === 'fulfilled')).toBe(true);

  const refusal = more.flatMap((outcome) =>
    outcome.status === 'rejected' ? [ConnectError.from(outcome.reason)] : [],
  );
  expect(refusal.length).toBeGreaterThan(0);
  expect(refusal[0]!.code).toBe(Code.ResourceExhausted);
  expect(refusal[0]!.findDetails(ErrorInfoSchema)[0]).toMatchObject({
    reason: 'QUOTA_EXCEEDED',
    metadata: { quota: 'images', used: '150', limit: '150', requested: '1' },
  });
  const { counted, truth } = await countedAndTrue(second);
  expect(counted).toEqual(truth);
  expect(counted).toMatchObject({ images: 150 });
  expect(counted!['stored_bytes']).toBeLessThanOrEqual(40_000_000);
  const { quota } = await quotasOf(second).getQuota({});
  expect(quota).toMatchObject({
    limits: { images: 150n, liveTasks: -1n },
    overrides: { images: 150n },
    usage: { images: 150n },
    etag: '1',
  });
  expect(quota!.overrides!.liveTasks).toBeUndefined();

  const third = await second.another();
  expect(third.process.output()).not.toContain('counted wrongly');
  expect((await countedAndTrue(third)).counted).toEqual(counted);
}, 60_000);

test('a project that asks too often is told when to ask again, and health is answered all the same', async () => {
  const service = await startService({ DARKROOM_MAX_REQUESTS_PER_PROJECT: '5' });
  const outcomes = await Promise.allSettled(
    Array.from({ length: 60 }, () => service.tasks.listTasks({})),
  );
  const refusals = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [ConnectError.from(outcome.reason)] : [],
  );
  expect(outcomes.length - refusals.length).toBeGreaterThanOrEqual(5);
  expect(refusals.length).toBeGreaterThan(20);
  for (const refusal of refusals) {
    expect(refusal.code).toBe(Code.ResourceExhausted);
    expect(refusal.findDetails(ErrorInfoSchema)[0]?.metadata['quota']).toBe('requests_per_second');
    expect(refusal.findDetails(RetryInfoSchema)[0]?.retryDelay?.nanos).toBe(200_000_000);
  }
  expect((await fetch(`${service.process.url}/healthz`)).status).toBe(200);
});
