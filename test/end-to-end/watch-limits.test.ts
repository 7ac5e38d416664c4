import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createClient, type Interceptor, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import { createToken } from '../../src/identity/static-tokens/token-store.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { failureOf, readAll } from '../support/failures.ts';
import { patience } from '../support/held-upload.ts';
import {
  connectTo,
  sending,
  startService,
  type RunningService,
} from '../support/running-service.ts';
import { makeDataDir, repository } from '../support/service-process.ts';

const perCaller = 3;
const inAll = 5;
const settings = {
  DARKROOM_MAX_WATCHES_PER_CALLER: String(perCaller),
  DARKROOM_MAX_WATCHES: String(inAll),
  DARKROOM_PROCESSES: '1',
};

type Users = Readonly<Record<'ann' | 'bob' | 'cas', { readonly authorization: string }>>;

let service: RunningService;
let users: Users;

async function start(
  defer: (cleanUp: () => Promise<void>) => void,
  others: Readonly<Record<string, string>> = {},
): Promise<void> {
  const folder = await makeDataDir();
  defer(folder.remove);
  const file = join(folder.path, 'tokens.json');
  const user = (name: string) => ({
    authorization: `Bearer ${
      createToken(file, {
        user: name,
        project: 'garden',
        roles: ['member'],
        description: undefined,
        lifetimeMs: undefined,
      }).token
    }`,
  });
  users = { ann: user('ann'), bob: user('bob'), cas: user('cas') };
  service = await startService({ ...settings, DARKROOM_TOKENS_FILE: file, ...others }, defer);
}

beforeAll(async () => {
  const cleanUps = new CleanUps();
  await start(cleanUps.defer);
  return cleanUps.run;
});

type Tasks = ReturnType<typeof connectTo>['tasks'];

async function createTask(): Promise<string> {
  const { task } = await connectTo(service.process.url, users.ann).images.createImage({
    image: { name: 'watched', diskFormat: Image_DiskFormat.RAW },
    source: { case: 'upload', value: {} },
  });
  return task!.id;
}

/** A watch that has begun; `leave` has its client go. */
interface Begun {
  leave(): void;
  /** Settles when it has ended, however it did. */
  readonly ended: Promise<unknown>;
}

/** Over HTTP/1.1 a client may end its side and read on: that it is gone shows when it is told something. */
const heartbeatInterval = { seconds: 1n, nanos: 0 };

async function begin(tasks: Tasks, taskId: string): Promise<Begun> {
  const gone = new AbortController();
  onTestFinished(() => gone.abort());
  const watch = tasks.watchTask({ taskId, heartbeatInterval }, { signal: gone.signal });
  const messages = watch[Symbol.asyncIterator]();
  await messages.next();
  const ended = (async () => {
    while ((await messages.next()).done !== true) {
      // Only its end is waited for.
    }
  })().catch(() => {});
  return { leave: () => gone.abort(), ended };
}

/** Begins a watch as soon as there is room for it. */
async function beginSoon(tasks: Tasks, taskId: string): Promise<Begun> {
  let begun: Begun | undefined;
  await expect
    .poll(async () => (begun = await begin(tasks, taskId).catch(() => undefined)), patience)
    .toBeDefined();
  return begun!;
}

const tooMany = (limit: number) => ({
  code: 'ResourceExhausted',
  reason: 'TOO_MANY_WATCHES',
  metadata: { limit: String(limit) },
  hasRetryInfo: true,
});

/** Fills all places of a user, and has another watch of it refused. */
async function fill(tasks: Tasks, taskId: string): Promise<Begun[]> {
  const begun: Begun[] = [];
  for (let i = 0; i < perCaller; i += 1) {
    begun.push(await beginSoon(tasks, taskId));
  }
  expect(await failureOf(readAll(tasks.watchTask({ taskId })))).toMatchObject(tooMany(perCaller));
  return begun;
}

async function leaveAll(begun: readonly Begun[]): Promise<void> {
  begun.forEach((one) => one.leave());
  await Promise.all(begun.map(({ ended }) => ended));
}

type Transports = readonly (readonly [
  name: string,
  transportOf: (options: { baseUrl: string; interceptors: Interceptor[] }) => Transport,
])[];

const transports: Transports = [
  ['gRPC', createGrpcTransport],
  ['gRPC-Web', (options) => createGrpcWebTransport({ ...options, httpVersion: '2' })],
  ['Connect', (options) => createConnectTransport({ ...options, httpVersion: '1.1' })],
  [
    'Connect in JSON',
    (options) => createConnectTransport({ ...options, httpVersion: '2', useBinaryFormat: false }),
  ],
];

describe.each(transports)('one watch more than a caller may have, over %s', (_, transportOf) => {
  test('is refused, others are served, and its place is free again when a watch has ended', async () => {
    const taskId = await createTask();
    const tasks = createClient(
      TaskService,
      transportOf({ baseUrl: service.process.url, interceptors: [sending(users.ann)] }),
    );
    const begun = await fill(tasks, taskId);
    expect(await failureOf(readAll(tasks.watchTasks({})))).toMatchObject(tooMany(perCaller));
    const bobs = await begin(connectTo(service.process.url, users.bob).tasks, taskId);
    expect(
      (await connectTo(service.process.url, users.ann).tasks.getTask({ taskId })).task?.id,
    ).toBe(taskId);

    begun[0]!.leave();
    begun.push(await beginSoon(tasks, taskId));
    // A watch that fails as it begins leaves no trace either.
    begun.pop()!.leave();
    for (let i = 0; i < 2 * perCaller; i += 1) {
      const unknown = { taskId: '01900000-0000-7000-8000-000000000000' };
      await expect
        .poll(async () => (await failureOf(readAll(tasks.watchTask(unknown)))).reason, patience)
        .toBe('TASK_NOT_FOUND');
    }
    begun.push(await beginSoon(tasks, taskId));
    await leaveAll([...begun, bobs]);
  });
});

test('one watch more than all may have together is refused', async () => {
  const taskId = await createTask();
  const [anns, bobs, cass] = [users.ann, users.bob, users.cas].map(
    (user) => connectTo(service.process.url, user).tasks,
  );
  const begun = await fill(anns!, taskId);
  begun.push(await beginSoon(bobs!, taskId), await beginSoon(bobs!, taskId));
  expect(await failureOf(readAll(cass!.watchTask({ taskId })))).toMatchObject(tooMany(inAll));
  begun[0]!.leave();
  begun.push(await beginSoon(cass!, taskId));
  await leaveAll(begun);
});

test('the places of a task’s watches are free when it has ended', async () => {
  const taskId = await createTask();
  const tasks = connectTo(service.process.url, users.ann).tasks;
  const begun = await fill(tasks, taskId);
  await tasks.cancelTask({ taskId });
  await Promise.all(begun.map(({ ended }) => ended));
  await leaveAll(await fill(tasks, await createTask()));
});

test('the places of a client are free when it is killed', async () => {
  const taskId = await createTask();
  const script = `
    const { connect } = require('node:http2');
    const session = connect(${JSON.stringify(service.process.url)});
    for (let i = 0; i < ${perCaller}; i += 1) {
      const stream = session.request({
        ':method': 'POST', ':path': '/darkroom.v1.TaskService/WatchTask', 'content-type': 'application/grpc+proto',
        authorization: ${JSON.stringify(users.ann.authorization)},
      });
      const id = Buffer.from(${JSON.stringify(taskId)});
      stream.end(Buffer.concat([Buffer.of(0, 0, 0, 0, 2 + id.length, 10, id.length), id]));
      stream.once('data', () => console.log('begun'));
    }`;
  const client = spawn(process.execPath, ['-e', script], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void client.kill('SIGKILL'));
  let output = '';
  client.stdout.on('data', (bytes) => (output += String(bytes)));
  await expect.poll(() => output.match(/begun/g)?.length, patience).toBe(perCaller);
  const tasks = connectTo(service.process.url, users.ann).tasks;
  expect(await failureOf(readAll(tasks.watchTask({ taskId })))).toMatchObject(tooMany(perCaller));
  client.kill('SIGKILL');
  await once(client, 'close');
  await leaveAll(await fill(tasks, taskId));
});

test('the watches of a caller are counted over all processes of a service, however many connections race', async () => {
  const cleanUps = new CleanUps();
  onTestFinished(cleanUps.run);
  const shared = service;
  const known = users;
  await start(cleanUps.defer, { DARKROOM_PROCESSES: '3', DARKROOM_MAX_WATCHES: '100' });
  const taskId = await createTask();
  const { url } = service.process;
  const { ann, bob } = users;
  [service, users] = [shared, known];
  // Each on a connection of its own, which go to the processes in turn.
  const beginAll = (): Promise<PromiseSettledResult<Begun>[]> =>
    Promise.allSettled(Array.from({ length: 12 }, () => begin(connectTo(url, ann).tasks, taskId)));
  const begun = (await beginAll()).flatMap((one) =>
    one.status === 'fulfilled' ? [one.value] : [],
  );
  expect(begun.length).toBe(perCaller);
  for (const one of await beginAll()) {
    expect(one).toMatchObject({ status: 'rejected' });
  }
  expect(await failureOf(readAll(connectTo(url, ann).tasks.watchTask({ taskId })))).toMatchObject(
    tooMany(perCaller),
  );
  const bobs = await begin(connectTo(url, bob).tasks, taskId);
  begun.pop()!.leave();
  begun.push(await beginSoon(connectTo(url, ann).tasks, taskId));
  expect((await beginAll()).filter(({ status }) => status === 'fulfilled')).toEqual([]);
  await leaveAll([...begun, bobs]);
});

test('a stop ends watches of all kinds, at whatever limit they are', async () => {
  const cleanUps = new CleanUps();
  onTestFinished(cleanUps.run);
  const shared = service;
  const known = users;
  await start(cleanUps.defer);
  const mine = service;
  const taskId = await createTask();
  const [anns, bobs] = [users.ann, users.bob].map(
    (user) => connectTo(mine.process.url, user).tasks,
  );
  const begun = await fill(anns!, taskId);
  begun.push(await begin(bobs!, taskId));
  [service, users] = [shared, known];
  expect(await mine.process.kill('SIGTERM')).toBe(0);
  await Promise.all(begun.map(({ ended }) => ended));
});
