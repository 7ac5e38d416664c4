import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { stopLeftovers } from '../../src/database/embedded-postgres/postmaster.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { failureOf } from '../support/failures.ts';
import { holdUpload, patience, untilCommitted } from '../support/held-upload.ts';
import { childrenOf, isAlive } from '../support/processes.ts';
import {
  connectTo,
  downloadBytes,
  startEmbeddedService,
  startService,
  uploadFrames,
  type RunningService,
} from '../support/running-service.ts';
import {
  failureToStart,
  launchService,
  makeDataDir,
  type LogLine,
} from '../support/service-process.ts';

/** The fewest: each start of one takes a second of CPU. */
const count = 2;
const several = { DARKROOM_PROCESSES: String(count), DARKROOM_COMMIT_INTERVAL_MS: '50' };
/** The first process, and a PostgreSQL, are started several times. */
const patient = { timeout: 240_000 };

type Service = Pick<RunningService<string | undefined>, 'process' | 'images'>;

async function createUpload({ images }: Pick<RunningService, 'images'>) {
  const { image, task } = await images.createImage({
    image: { name: 'shared', diskFormat: Image_DiskFormat.RAW },
    source: { case: 'upload', value: {} },
  });
  return { imageId: image!.id, taskId: task!.id };
}

/** The processes that serve. An embedded PostgreSQL is a child too. */
async function membersOf({ process }: Service): Promise<number[]> {
  const postgres = process.log.find(({ msg }) => msg === 'embedded PostgreSQL is running');
  return (await childrenOf(process.pid)).filter((pid) => pid !== postgres?.['pid']);
}

/** The pids of those that have answered calls of a method. */
function answerersOf({ process }: Service, method: string): Set<unknown> {
  return new Set(
    process.log.filter((line) => line['method'] === method).map((line) => line['process']),
  );
}

function linesOf({ process }: Service, isMeant: (msg: string) => boolean): LogLine[] {
  return process.log.filter(({ msg = '' }) => isMeant(msg));
}

describe('processes that serve one port', () => {
  const cleanUps = new CleanUps();
  let service: RunningService;

  beforeAll(async () => {
    service = await startService(several, cleanUps.defer);
  });
  afterAll(cleanUps.run);

  test('are as many as the setting says, and say once that they are ready', async () => {
    expect(await membersOf(service)).toHaveLength(count);
    const ready = linesOf(service, (msg) => msg.startsWith('Darkroom is ready'));
    expect(ready).toEqual([
      expect.objectContaining({ pid: service.process.pid, processes: count, database: 'external' }),
    ]);
  });

  test('share the connections, and each knows what the others have done', async () => {
    const { imageId, taskId } = await createUpload(service);
    const bytes = Buffer.alloc(300_000, 'shared');
    // Each client has a connection of its own.
    const watching = Array.fromAsync(connectTo(service.process.url).tasks.watchTask({ taskId }));
    await connectTo(service.process.url).images.uploadImage(uploadFrames(bytes, { taskId }));
    expect((await watching).at(-1)?.content.case).toBe('update');
    for (let call = 0; call < 6; call++) {
      const { image } = await connectTo(service.process.url).images.getImage({ imageId });
      expect(image?.state).toBe(Image_State.ACTIVE);
    }
    await expect
      .poll(() => answerersOf(service, 'darkroom.v1.ImageService/GetImage').size, patience)
      .toBe(count);
  });

  test('a writer on one is fenced by a resume on another', async () => {
    const { taskId } = await createUpload(service);
    const held = holdUpload(service.images, taskId);
    held.send(0, Buffer.alloc(100_000, 'old'));
    await untilCommitted(service, taskId, 100_000);
    const other = connectTo(service.process.url);
    const { writerEpoch } = await other.images.resumeUpload({ taskId });
    expect(await failureOf(held.answer)).toMatchObject({ reason: 'WRITER_FENCED' });
    expect(writerEpoch).toBe(2n);
  });

  test('one that is killed is replaced, the others go on, and its upload can be resumed', async () => {
    const before = await membersOf(service);
    const { imageId, taskId } = await createUpload(service);
    const bytes = Buffer.alloc(400_000, 'lost');
    const held = holdUpload(connectTo(service.process.url).images, taskId);
    held.send(0, bytes.subarray(0, 100_000));
    await untilCommitted(service, taskId, 100_000);
    for (const pid of before.slice(1)) {
      process.kill(pid, 'SIGKILL');
    }
    await expect
      .poll(async () => (await membersOf(service)).filter((pid) => !before.includes(pid)), patience)
      .toHaveLength(count - 1);
    await service.process.line(({ msg }) => msg?.startsWith('a process serves in place') === true);
    expect(await isAlive(before[0]!)).toBe(true);

    held.end();
    await held.answer.catch(() => {});
    const client = connectTo(service.process.url).images;
    const { committedSize, writerEpoch } = await client.resumeUpload({ taskId });
    const frames = uploadFrames(bytes, { taskId, writerEpoch, offset: Number(committedSize) });
    expect((await client.uploadImage(frames)).complete).toBe(true);
    expect((await downloadBytes(client, imageId)).bytes.equals(bytes)).toBe(true);
  });
});

test('when all of them are killed at once they are back on the same port', patient, async () => {
  const service = await startService(several);
  const before = await membersOf(service);
  for (const pid of before) {
    process.kill(pid, 'SIGKILL');
  }
  const answer = async () =>
    connectTo(service.process.url)
      .images.listImages({})
      .then(
        () => 'answered',
        () => 'not answered',
      );
  await expect.poll(answer, patience).toBe('answered');
  await expect.poll(async () => (await membersOf(service)).length, patience).toBe(count);
  expect(await service.process.kill('SIGTERM')).toBe(0);
});

describe('a service of several processes that is told to stop', () => {
  test.each([
    ['as an init system tells it, the first process alone', false],
    ['as a terminal tells it, all processes at once', true],
  ])('ends them all, %s, and its PostgreSQL last', patient, async (_, all) => {
    const service = await startEmbeddedService(several);
    const members = await membersOf(service);
    if (all) {
      members.forEach((pid) => process.kill(pid, 'SIGINT'));
    }
    expect(await service.process.kill('SIGINT')).toBe(0);
    expect(await Promise.all(members.map(isAlive))).not.toContain(true);
    expect(
      linesOf(service, (msg) => /^(stopped|embedded PostgreSQL is stopped)$/.test(msg)),
    ).toEqual([
      expect.objectContaining({ msg: 'embedded PostgreSQL is stopped' }),
      expect.objectContaining({ msg: 'stopped' }),
    ]);
  });

  test('lets a running upload go on to its end', patient, async () => {
    const service = await startService({ ...several, DARKROOM_DRAIN_TIMEOUT_MS: '60000' });
    const { taskId } = await createUpload(service);
    const held = holdUpload(service.images, taskId);
    held.send(0, Buffer.alloc(1000, 'a'));
    await untilCommitted(service, taskId, 1000);
    const ended = service.process.kill('SIGTERM');
    await service.process.line(({ msg }) => msg?.startsWith('stopping') === true);
    held.send(1000, Buffer.alloc(1000, 'b'));
    held.finish(2000);
    expect((await held.answer).complete).toBe(true);
    expect(await ended).toBe(0);
  });

  test('twice ends at once, with exit code 1 and no process left', patient, async () => {
    const service = await startService({ ...several, DARKROOM_DRAIN_TIMEOUT_MS: '60000' });
    const members = await membersOf(service);
    const { taskId } = await createUpload(service);
    const held = holdUpload(service.images, taskId);
    held.send(0, Buffer.alloc(1000, 'a'));
    await untilCommitted(service, taskId, 1000);
    service.process.signal('SIGTERM');
    await service.process.line(({ msg }) => msg?.startsWith('stopping') === true);
    expect(await service.process.kill('SIGTERM')).toBe(1);
    await expect
      .poll(async () => (await Promise.all(members.map(isAlive))).includes(true), patience)
      .toBe(false);
  });

  test('ends as well while it starts', patient, async () => {
    await using dataDir = await makeDataDir();
    const starting = launchService({ dataDir: dataDir.path, env: several });
    await starting.line(({ msg }) => msg === 'embedded PostgreSQL is running');
    const members = await childrenOf(starting.pid);
    expect(await starting.kill('SIGTERM')).toBe(0);
    expect(await Promise.all(members.map(isAlive))).not.toContain(true);
    expect(starting.log.at(-1)?.msg).toBe('stopped');
  });
});

test(
  'when the first process is killed the others end, and the next start goes on',
  patient,
  async () => {
    const service = await startEmbeddedService(several);
    const { imageId, taskId } = await createUpload(service);
    const bytes = Buffer.alloc(5000, 'kept');
    await service.images.uploadImage(uploadFrames(bytes, { taskId }));
    const members = await membersOf(service);
    await service.process.kill('SIGKILL');
    await expect
      .poll(async () => (await Promise.all(members.map(isAlive))).includes(true), patience)
      .toBe(false);
    const next = await service.another();
    expect((await downloadBytes(next.images, imageId)).bytes.equals(bytes)).toBe(true);
    expect(next.process.log).toContainEqual(expect.objectContaining({ adopted: true }));
  },
);

describe('a service of several processes that cannot start says once why, and leaves no process', () => {
  test('another program has the port', patient, async () => {
    await using dataDir = await makeDataDir();
    onTestFinished(() => stopLeftovers(join(dataDir.path, 'postgres', 'cluster')));
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const { exit, output } = await failureToStart({
      dataDir: dataDir.path,
      env: { ...several, DARKROOM_PORT: String(port) },
    });
    expect(exit).toBe(1);
    expect(output.match(/"level":60/g)).toHaveLength(1);
    expect(output).toContain(
      `cannot listen on 127.0.0.1 port ${port}: another process has the port`,
    );
    expect(output).toContain('embedded PostgreSQL is stopped');
  });

  test('its database cannot be used', async () => {
    await using dataDir = await makeDataDir();
    const service = await startService();
    const url = new URL(service.databaseUrl);
    url.username = 'nobody_of_that_name';
    const { exit, output } = await failureToStart({
      dataDir: dataDir.path,
      databaseUrl: url.href,
      env: several,
    });
    expect(exit).toBe(1);
    expect(output.match(/"level":60/g)).toHaveLength(1);
    expect(output).toContain('nobody_of_that_name');
  });

  test('its data folder is in use', patient, async () => {
    const service = await startEmbeddedService(several);
    const { exit, output } = await failureToStart({ dataDir: service.dataDir, env: several });
    expect(exit).toBe(2);
    expect(output).toContain(`is in use by another Darkroom (pid ${service.process.pid}`);
  });
});
