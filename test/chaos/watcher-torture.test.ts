import { createClient, ConnectError } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { TaskEvent_Kind, Task_State, type TaskEvent } from '../../gen/darkroom/v1/task_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import { Code as RpcCode } from '../../gen/google/rpc/code_pb.ts';
import {
  startEmbeddedPostgres,
  type EmbeddedPostgres,
} from '../../src/database/embedded-postgres.ts';
import { CleanUps } from '../support/clean-ups.ts';
import {
  makeDataDir,
  startServiceProcess,
  type ServiceProcess,
} from '../support/service-process.ts';

const taskCount = 20;
const watcherCount = 50;
/** Faults that each task survives before it ends. */
const faultsPerTask = 6;

const cleanUps = new CleanUps();
let postgres: EmbeddedPostgres;
/** The two processes; one of them is now and then not there. */
const services: (ServiceProcess | undefined)[] = [undefined, undefined];
let blobs: string;

beforeAll(async () => {
  const clusterDir = await makeDataDir();
  cleanUps.defer(() => clusterDir.remove());
  const blobDir = await makeDataDir();
  cleanUps.defer(() => blobDir.remove());
  blobs = blobDir.path;
  const logger = { info: () => {}, warn: () => {}, error: () => {} };
  // Durable: a commit that was answered must outlive the SIGKILL of PostgreSQL.
  postgres = await startEmbeddedPostgres({ dataDir: clusterDir.path, logger });
  cleanUps.defer(() => postgres.stop());
  await Promise.all([startProcess(0), startProcess(1)]);
});

afterAll(cleanUps.run);

async function startProcess(index: 0 | 1): Promise<void> {
  const service = await startServiceProcess({
    dataDir: blobs,
    databaseUrl: postgres.connectionString,
    env: { DARKROOM_LOG_LEVEL: 'info' },
  });
  services[index] = service;
  cleanUps.defer(() => service.kill('SIGKILL'));
}

/** A process that is there; waits for one if there is none. */
async function someService(choice: number): Promise<string> {
  for (;;) {
    const service = services[choice % 2] ?? services[(choice + 1) % 2];
    if (service) {
      return service.url;
    }
    await delay(20);
  }
}

function tasksAt(baseUrl: string) {
  return createClient(TaskService, createGrpcTransport({ baseUrl }));
}

/** Repeats a call on whichever process is there until one answers. */
async function insist<T>(choice: number, call: (baseUrl: string) => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await call(await someService(choice + attempt));
    } catch (error) {
      if (attempt > 500) {
        throw error;
      }
      await delay(20);
    }
  }
}

interface Seen {
  readonly startedAt: number;
  readonly events: TaskEvent[];
  breaks: number;
}

/** Follows one task to its end, on one process or the other, by resume token. */
async function follow(watcher: number, taskId: string): Promise<Seen> {
  const seen: { startedAt: number | undefined; events: TaskEvent[]; breaks: number } = {
    startedAt: undefined,
    events: [],
    breaks: 0,
  };
  let resumeToken = '';
  for (;;) {
    try {
      // Every third watcher also leaves of itself, again and again, in the middle.
      const impatient = watcher % 3 === 0 ? AbortSignal.timeout(300 + watcher * 20) : undefined;
      const watch = tasksAt(await someService(watcher + seen.breaks)).watchTask(
        { taskId, resumeToken },
        impatient ? { signal: impatient } : {},
      );
      for await (const message of watch) {
        const { content } = message;
        if (content.case === 'snapshot') {
          expect(message.missedRevisions).toBe(0n);
          expect(resumeToken, 'a snapshot comes only to those who have none').toBe('');
          seen.startedAt = Number(content.value.revision);
        } else if (content.case === 'update') {
          seen.events.push(content.value.event!);
        }
        resumeToken = message.resumeToken;
      }
      return { ...seen, startedAt: seen.startedAt ?? -1 };
    } catch (error) {
      if (!(error instanceof ConnectError)) {
        throw error;
      }
      seen.breaks += 1;
      await delay(20);
    }
  }
}

/** Lives a task's life: faults that it survives, then one of the three ends. */
async function live(index: number, taskId: string, onStep: () => Promise<void>): Promise<void> {
  for (let fault = 0; fault < faultsPerTask; fault++) {
    // A report whose answer was lost is made again: what counts is what the event table says.
    await insist(index + fault, (url) =>
      tasksAt(url).reportFault({
        taskId,
        code: RpcCode.UNAVAILABLE,
        reason: `ROUND_${fault}`,
        message: 'the source was away for a moment',
      }),
    );
    await onStep();
  }
  await insist(index, async (url) => {
    const { task } = await tasksAt(url).getTask({ taskId });
    if (task!.state !== Task_State.PENDING && task!.state !== Task_State.RUNNING) {
      return;
    }
    if (index % 3 === 0) {
      await tasksAt(url).cancelTask({ taskId, reason: 'enough' });
    } else if (index % 3 === 1) {
      const code = RpcCode.DATA_LOSS;
      const fatal = { reason: 'SOURCE_GONE', message: 'the disk is gone', fatal: true };
      await tasksAt(url).reportFault({ taskId, code, ...fatal });
    } else {
      const images = createClient(ImageService, createGrpcTransport({ baseUrl: url }));
      const { writerEpoch } = await images.resumeUpload({ taskId });
      const data = new Uint8Array(1000);
      const finish = { totalSize: 1000n };
      await images.uploadChunk({ taskId, writerEpoch, data, finish });
    }
  });
}

async function cutListeners(): Promise<void> {
  const client = new pg.Client({ connectionString: postgres.connectionString });
  await client.connect();
  await client.query(`
    select pg_terminate_backend(pid) from pg_stat_activity
    where pid <> pg_backend_pid() and query ilike 'listen%'`);
  await client.end();
}

test('every watcher sees every event exactly once and in order, whatever is killed', async () => {
  const taskIds: string[] = [];
  for (let index = 0; index < taskCount; index++) {
    const requestId = `torture-${index}`;
    const { task } = await insist(index, (url) =>
      createClient(ImageService, createGrpcTransport({ baseUrl: url })).createImage({
        image: { name: requestId, diskFormat: Image_DiskFormat.RAW },
        source: { case: 'snapshot', value: {} },
        requestId,
      }),
    );
    taskIds.push(task!.id);
  }
  const watchers = Array.from({ length: watcherCount }, (_, watcher) =>
    follow(watcher, taskIds[watcher % taskCount]!),
  );

  // What is done to the service, each after some more steps of the tasks.
  const disasters: (() => Promise<void>)[] = [
    cutListeners,
    async () => {
      await services[0]?.kill('SIGKILL');
      services[0] = undefined;
    },
    () => startProcess(0),
    async () => void process.kill(postgres.pid, 'SIGKILL'),
    cutListeners,
    async () => {
      await services[1]?.kill('SIGTERM');
      services[1] = undefined;
    },
    () => startProcess(1),
    async () => void process.kill(postgres.pid, 'SIGKILL'),
  ];
  const stepsBetween = Math.floor((taskCount * faultsPerTask) / (disasters.length + 1));
  let steps = 0;
  let disaster = Promise.resolve();
  const onStep = async (): Promise<void> => {
    steps += 1;
    const next = steps % stepsBetween === 0 ? disasters.shift() : undefined;
    if (next) {
      disaster = disaster.then(() => insistDisaster(next));
      await disaster;
    }
  };
  await Promise.all(taskIds.map((taskId, index) => live(index, taskId, onStep)));
  await disaster;
  expect(disasters).toHaveLength(0);

  const seen = await Promise.all(watchers);
  const recorded = new Map<string, readonly TaskEvent[]>();
  for (const taskId of taskIds) {
    const { events } = await insist(0, (url) =>
      tasksAt(url).listTaskEvents({ taskId, pageSize: 1000 }),
    );
    expect(events.map(({ revision }) => Number(revision))).toEqual(events.map((_, i) => i + 1));
    recorded.set(taskId, events);
  }
  seen.forEach(({ startedAt, events }, watcher) => {
    const all = recorded.get(taskIds[watcher % taskCount]!)!;
    const told = all.filter(({ revision }) => Number(revision) > startedAt);
    expect(events, `watcher ${watcher}`).toEqual(told);
    // One that came late found the task at its end.
    if (told.length > 0) {
      expect(told.at(-1)?.kind).toBeOneOf([TaskEvent_Kind.STATE_CHANGED, TaskEvent_Kind.FAULT]);
    }
  });
  expect(seen.reduce((sum, { breaks }) => sum + breaks, 0)).toBeGreaterThan(watcherCount);
}, 180_000);

/** PostgreSQL may be just restarting when a listener is to be cut. */
async function insistDisaster(disaster: () => Promise<void>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await disaster();
      return;
    } catch (error) {
      if (attempt > 100) {
        throw error;
      }
      await delay(50);
    }
  }
}
