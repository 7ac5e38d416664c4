import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../gen/darkroom/v1/task_service_pb.ts';
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../gen/grpc/health/v1/health_pb.ts';
import { clusterPaths } from '../../src/database/embedded-postgres/cluster.ts';
import { postgresProcessesOf } from '../../src/database/embedded-postgres/postmaster-pid.ts';
import { stopLeftovers } from '../../src/database/embedded-postgres/postmaster.ts';
import { startEmbeddedPostgres } from '../../src/database/embedded-postgres.ts';
import { killServer } from '../../chaos/postgres-victim.ts';
import { DatabaseProxy } from '../support/database-proxy.ts';
import { failureOf, readAll } from '../support/failures.ts';
import { findFreePort } from '../support/free-port.ts';
import { patience } from '../support/held-upload.ts';
import { connectTo, everyTransport, uploadFrames } from '../support/running-service.ts';
import {
  failureToStart,
  launchService,
  makeDataDir,
  type ServiceProcessOptions,
  type StartingProcess,
} from '../support/service-process.ts';
import { createEmptyDatabase } from '../support/test-database.ts';
import { createRequest } from './bad-input/case.ts';

// Services and databases that start again and again, on however busy a machine.
vi.setConfig({ testTimeout: 240_000 });

async function dataDirOfTest(): Promise<string> {
  const { path, remove } = await makeDataDir();
  onTestFinished(async () => {
    await stopLeftovers(clusterPaths(path).cluster);
    await remove();
  });
  return path;
}

function launch(options: ServiceProcessOptions): StartingProcess {
  const service = launchService(options);
  onTestFinished(async () => void (await service.kill('SIGKILL')));
  return service;
}

/** Starts a service whose database is away; answers it once it waits. */
async function startWaiting(
  env: Readonly<Record<string, string>> = {},
): Promise<{ service: StartingProcess; proxy: DatabaseProxy; url: string }> {
  const database = await createEmptyDatabase();
  onTestFinished(database.drop);
  const proxy = await DatabaseProxy.open(database.url);
  await proxy.shut();
  const service = launch({ dataDir: await dataDirOfTest(), databaseUrl: proxy.url, env });
  const line = await service.line(
    ({ msg }) => msg?.startsWith('waiting for the database') === true,
  );
  return { service, proxy, url: String(line['url']) };
}

/** The service does its work. */
async function expectToWork(url: string): Promise<void> {
  const { images } = connectTo(url);
  const { task } = await images.createImage(createRequest());
  const bytes = Buffer.alloc(100_000, 'started');
  expect(await images.uploadImage(uploadFrames(bytes, { taskId: task!.id }))).toMatchObject({
    complete: true,
  });
}

const away = { code: 'Unavailable', reason: 'DATABASE_UNAVAILABLE', hasRetryInfo: true } as const;

describe('a service that starts while its database is away', () => {
  test('listens, tells that it waits, refuses calls, and serves when the database is there', async () => {
    const { service, proxy, url } = await startWaiting();
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    const unready = await fetch(`${url}/readyz`);
    expect(unready.status).toBe(503);
    expect(await unready.json()).toEqual({
      status: 'NOT_SERVING',
      reason: 'DATABASE_UNAVAILABLE',
      message: expect.stringMatching(
        /^the service is starting: it has waited for its database for [\d.]+ s, and gives up after 300 s$/,
      ),
    });
    const health = createClient(Health, createGrpcTransport({ baseUrl: url }));
    expect(await health.check({ service: 'darkroom.v1.ImageService' })).toMatchObject({
      status: ServingStatus.NOT_SERVING,
    });
    const watch = health.watch({})[Symbol.asyncIterator]();
    expect((await watch.next()).value).toMatchObject({ status: ServingStatus.NOT_SERVING });

    for (const [name, transport] of everyTransport(url, createGrpcWebTransport)) {
      const images = createClient(ImageService, transport);
      const tasks = createClient(TaskService, transport);
      expect(await failureOf(images.createImage(createRequest())), name).toMatchObject(away);
      expect(await failureOf(images.listImages({})), name).toMatchObject(away);
      expect(await failureOf(readAll(tasks.watchTasks({}))), name).toMatchObject(away);
    }
    const frames = uploadFrames(Buffer.alloc(100_000), { taskId: 'any' });
    expect(await failureOf(connectTo(url).images.uploadImage(frames))).toMatchObject(away);
    for (const [method, path] of [
      ['GET', '/v2/tasks/a'],
      ['GET', '/v2/images/a/file'],
      ['DELETE', '/nothing'],
    ] as const) {
      const answer = await fetch(`${url}${path}`, { method });
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
      expect(await answer.json()).toMatchObject({ reason: 'DATABASE_UNAVAILABLE' });
    }

    await proxy.reopen();
    expect(await service.ready).toBe(url);
    expect((await watch.next()).value).toMatchObject({ status: ServingStatus.SERVING });
    const ready = await fetch(`${url}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([200, { status: 'SERVING' }]);
    await expectToWork(url);
    expect(await service.kill('SIGTERM')).toBe(0);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'ends at once on %s, as a service that stops',
    async (signal) => {
      const { service, url } = await startWaiting();
      const begun = performance.now();
      expect(await service.kill(signal)).toBe(0);
      expect(performance.now() - begun).toBeLessThan(10_000);
      expect(service.log.at(-1)?.msg).toBe('stopped');
      expect(service.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
      await expect(fetch(`${url}/healthz`)).rejects.toThrow();
    },
  );

  test('ends on SIGTERM as well while a connection is taken and never answered', async () => {
    const { service, proxy } = await startWaiting();
    proxy.isSilent = true;
    await proxy.reopen();
    await expect.poll(() => proxy.size, patience).toBeGreaterThan(0);
    expect(await service.kill('SIGTERM')).toBe(0);
    expect(service.log.at(-1)?.msg).toBe('stopped');
  });

  test('gives up after a time that is a setting, with exit code 1 and the reason', async () => {
    const { exit, output } = await failureToStart({
      dataDir: await dataDirOfTest(),
      databaseUrl: `postgresql://user:secret@127.0.0.1:${await findFreePort()}/darkroom`,
      env: { DARKROOM_DATABASE_WAIT_MS: '300' },
    });
    expect(exit).toBe(1);
    expect(JSON.parse(output.trim().split('\n').at(-1)!)).toMatchObject({
      level: 60,
      msg: expect.stringMatching(
        /^The database was waited for for 0\.3 s \(DARKROOM_DATABASE_WAIT_MS\) in vain: .*ECONNREFUSED.* Start it, or correct DATABASE_URL\.$/,
      ),
    });
    expect(output).not.toContain('secret');
  });

  test('does not wait for a port that another has', async () => {
    const { url } = await startWaiting();
    const { exit, output } = await failureToStart({
      dataDir: await dataDirOfTest(),
      databaseUrl: 'postgresql://nobody@127.0.0.1:1/nothing',
      env: { DARKROOM_PORT: new URL(url).port },
    });
    expect(exit).toBe(1);
    expect(output).toContain('another process has the port');
  });
});

test('a connection that falls silent in the middle of a start holds it up for some seconds, and no more', async () => {
  const { service, proxy } = await startWaiting();
  let isDue = true;
  proxy.decide = (sent) => {
    const isNow = isDue && sent.includes('insert into processes');
    isDue &&= !isNow;
    return isNow ? 'stall' : 'pass';
  };
  await proxy.reopen();
  await expectToWork(await service.ready);
  expect(isDue).toBe(false);
});

test('two services that start at once, and are both cut off in their migrations, both start', async () => {
  const database = await createEmptyDatabase();
  onTestFinished(database.drop);
  const dataDir = await dataDirOfTest();
  const services = await Promise.all(
    ['create table images', 'commit'].map(async (moment) => {
      const proxy = await DatabaseProxy.open(database.url);
      let cuts = 2;
      proxy.decide = (sent) => {
        const isNow = cuts > 0 && sent.includes(moment);
        cuts -= isNow ? 1 : 0;
        return isNow ? 'cut' : 'pass';
      };
      return launch({ dataDir, databaseUrl: proxy.url });
    }),
  );
  for (const service of services) {
    await expectToWork(await service.ready);
  }
});

test('a service starts however often its PostgreSQL is killed meanwhile', async () => {
  const postgresDir = await dataDirOfTest();
  const logger = { info: () => {}, warn: () => {}, error: () => {} };
  const postgres = await startEmbeddedPostgres({ dataDir: postgresDir, logger });
  onTestFinished(() => postgres.stop());
  const dataDir = await dataDirOfTest();
  for (let start = 0; start < 4; start++) {
    const service = launch({ dataDir, databaseUrl: postgres.connectionString });
    const isReady = service.ready.then(() => true);
    // Beginning at another moment each time. It is started again after 0.1 s, 0.2 s and so on.
    await sleep(start * 100);
    for (let kills = 0; kills < 3; kills++) {
      await killServer(clusterPaths(postgresDir).cluster);
      if (await Promise.race([isReady, sleep(150, false)])) {
        break;
      }
    }
    const url = await service.ready;
    await expect.poll(async () => (await fetch(`${url}/readyz`)).status, patience).toBe(200);
    expect(await service.kill('SIGTERM')).toBe(0);
    expect(service.log.filter(({ level }) => Number(level) >= 60)).toEqual([]);
  }
});

describe('a service whose embedded PostgreSQL', () => {
  test('is killed while its cluster is made begins anew', async () => {
    const dataDir = await dataDirOfTest();
    const service = launch({ dataDir });
    const { home } = clusterPaths(dataDir);
    const killMaking = async (): Promise<number> => {
      const names = await readdir(home).catch(() => []);
      const unfinished = names.filter((name) => name.startsWith('cluster.unfinished-'));
      const kills = await Promise.all(unfinished.map((name) => killServer(join(home, name))));
      return kills.reduce((sum, count) => sum + count, 0);
    };
    await expect.poll(killMaking, { ...patience, interval: 1 }).toBeGreaterThan(0);
    await expectToWork(await service.ready);
    expect(await service.kill('SIGTERM')).toBe(0);
  });

  test('is killed as soon as it runs, and again, starts all the same', async () => {
    const dataDir = await dataDirOfTest();
    const { cluster } = clusterPaths(dataDir);
    const service = launch({ dataDir });
    for (const news of ['embedded PostgreSQL is running', 'embedded PostgreSQL is running again']) {
      await service.line(({ msg }) => msg === news);
      await killServer(cluster);
    }
    const url = await service.ready;
    await expect.poll(async () => (await fetch(`${url}/readyz`)).status, patience).toBe(200);
    await expectToWork(url);
    expect(await service.kill('SIGTERM')).toBe(0);
    expect(await postgresProcessesOf(cluster)).toEqual([]);
  });

  test('is starting ends with it on SIGTERM, at whatever moment that comes', async () => {
    const dataDir = await dataDirOfTest();
    const { cluster } = clusterPaths(dataDir);
    for (const delayMs of [0, 40, 80, 120, 200, 300, 500]) {
      await rm(join(dataDir, 'darkroom.pid'), { force: true });
      const service = launch({ dataDir, env: { DARKROOM_LOG_LEVEL: 'info' } });
      // From here on it listens to signals.
      await expect
        .poll(() => fileIsThere(dataDir, 'darkroom.pid'), { ...patience, interval: 5 })
        .toBe(true);
      await sleep(delayMs);
      expect(await service.kill('SIGTERM')).toBe(0);
      expect(service.log.at(-1)?.msg).toBe('stopped');
      expect(service.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
      expect(await postgresProcessesOf(cluster)).toEqual([]);
    }
    await expectToWork(await launch({ dataDir }).ready);
  });
});

async function fileIsThere(folder: string, name: string): Promise<boolean> {
  return (await readdir(folder)).includes(name);
}

test('a start that waits for what can no longer come says so, and ends with exit code 1', async () => {
  // No fault is known that does this: it is what Node would end for with code 13 and no word.
  const stuck = `
    import fs from 'node:fs/promises';
    import { syncBuiltinESMExports } from 'node:module';
    fs.mkdir = () => new Promise(() => {});
    syncBuiltinESMExports();`;
  const { exit, output } = await failureToStart({
    dataDir: await dataDirOfTest(),
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(stuck)}` },
  });
  expect(exit).toBe(1);
  expect(output).toContain('its start waited for what can no longer come');
});

test('beside a Kubernetes Service of its name a service starts, and names the links that it ignores', async () => {
  const database = await createEmptyDatabase();
  onTestFinished(database.drop);
  const links = {
    DARKROOM_SERVICE_HOST: '10.96.0.17',
    DARKROOM_SERVICE_PORT: '8080',
    DARKROOM_SERVICE_PORT_GRPC: '8080',
    DARKROOM_PORT_8080_TCP: 'tcp://10.96.0.17:8080',
    DARKROOM_PORT_8080_TCP_PROTO: 'tcp',
    DARKROOM_PORT_8080_TCP_PORT: '8080',
    DARKROOM_PORT_8080_TCP_ADDR: '10.96.0.17',
  };
  const service = launch({
    dataDir: await dataDirOfTest(),
    databaseUrl: database.url,
    env: links,
  });
  await expectToWork(await service.ready);
  expect(service.log.filter((line) => 'variables' in line)).toMatchObject([
    { level: 30, variables: Object.keys(links).toSorted() },
  ]);
});
