import { createClient } from '@connectrpc/connect';
import { expect, it } from 'vitest';
import { ImageService } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { Health } from '../../../gen/grpc/health/v1/health_pb.ts';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { loggerOf } from '../../../src/server/transport/request-context.ts';
import { startFakeServer, transportOf } from '../fake-server.ts';

const level = { debug: 20, info: 30, warn: 40, error: 50 } as const;
const overGrpc = { protocol: 'grpc', httpVersion: '2' } as const;

it('tells of each call once: who, what, how it ended, how long', async () => {
  const server = await startFakeServer({
    images: {
      deleteImage(_, context) {
        loggerOf(context).info('from the handler');
        return {};
      },
    },
  });
  const client = createClient(ImageService, transportOf(server.url, overGrpc));
  await client.deleteImage({}, { headers: { 'x-request-id': 'r1' } });
  await expect
    .poll(() => server.accessLine('darkroom.v1.ImageService/DeleteImage'))
    .toMatchObject({
      level: level.info,
      code: 'OK',
      requestId: 'r1',
      durationMs: expect.any(Number) as unknown,
      peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as unknown,
    });
  expect(server.log).toHaveLength(2);
  expect(server.log[0]).toMatchObject({ msg: 'from the handler', requestId: 'r1' });
});

it.each([
  ['IMAGE_NOT_FOUND', 'NOT_FOUND', level.info],
  ['DATABASE_UNAVAILABLE', 'UNAVAILABLE', level.warn],
  ['SERVER_DRAINING', 'UNAVAILABLE', level.info],
  ['STORED_BYTES_LOST', 'DATA_LOSS', level.warn],
  ['INTERNAL', 'INTERNAL', level.error],
] as const)('tells the reason %s at its level', async (reason, code, expected) => {
  const server = await startFakeServer({
    images: {
      deleteImage() {
        throw new DarkroomError(reason, 'x', { cause: new Error('the cause') });
      },
    },
  });
  const client = createClient(ImageService, transportOf(server.url, overGrpc));
  await expect(client.deleteImage({})).rejects.toThrow();
  await expect
    .poll(() => server.accessLine('darkroom.v1.ImageService/DeleteImage'))
    .toMatchObject({ level: expected, code, reason });
  expect(JSON.stringify(server.log).includes('the cause')).toBe(expected > level.info);
});

it('tells of reads and of health only for debugging', async () => {
  const server = await startFakeServer({
    images: { getImage: () => ({}) },
    tasks: {
      async *watchTask() {
        yield {};
      },
    },
  });
  const transport = transportOf(server.url, overGrpc);
  await createClient(ImageService, transport).getImage({});
  await createClient(Health, transport).check({});
  for await (const _ of createClient(TaskService, transport).watchTask({})) {
    // To its end.
  }
  await fetch(`${server.url}/healthz`);
  await fetch(`${server.url}/nothing`);
  await expect.poll(() => server.log.length).toBe(5);
  expect(server.log.map((line) => [line['method'], line['code'], line['level']])).toEqual([
    ['darkroom.v1.ImageService/GetImage', 'OK', level.debug],
    ['grpc.health.v1.Health/Check', 'OK', level.debug],
    ['darkroom.v1.TaskService/WatchTask', 'OK', level.debug],
    ['GET /healthz', 'OK', level.debug],
    ['GET /nothing', 404, level.debug],
  ]);
});

it('tells what connect itself refuses', async () => {
  const server = await startFakeServer({ images: { deleteImage: () => ({}) } });
  const url = `${server.url}/darkroom.v1.ImageService/DeleteImage`;
  await fetch(url, { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } });
  await fetch(url, { method: 'POST', body: 'x', headers: { 'content-type': 'text/plain' } });
  await expect.poll(() => server.log.length).toBe(2);
  expect(server.log).toMatchObject([
    { code: 'INVALID_ARGUMENT', reason: 'FIELD_INVALID' },
    { code: 415 },
  ]);
});
