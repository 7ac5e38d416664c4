import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { importEnv } from '../imports/import-world.ts';
import { rangeOf, startSource } from '../imports/source-server.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { disagreements, readStoredSegments } from '../support/stored-segments.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const imageBytes = 12 * MiB;
const pieceBytes = 64 * KiB;
const importCount = 4;
const kills = Number(process.env['DARKROOM_TEST_KILLS'] ?? 6);
const patience = { timeout: 60_000, interval: 20 };

/** An image that a slow source has, and what of it was asked for. */
class SlowImage {
  readonly bytes = randomBytes(imageBytes);
  readonly sha256 = createHash('sha256').update(this.bytes).digest('hex');
  /** How often each piece was sent. */
  readonly sent = Array.from({ length: imageBytes / pieceBytes }, () => 0);
  /** The end of the furthest piece that was sent. */
  reached = 0;

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { start, isPart } = rangeOf(request, '"slow"');
    response.writeHead(isPart ? 206 : 200, {
      etag: '"slow"',
      'content-length': imageBytes - start,
      ...(isPart && { 'content-range': `bytes ${start}-${imageBytes - 1}/${imageBytes}` }),
    });
    for (let offset = start; offset < imageBytes && !response.destroyed;) {
      const end = Math.min(imageBytes, (Math.floor(offset / pieceBytes) + 1) * pieceBytes);
      this.sent[Math.floor(offset / pieceBytes)]! += 1;
      this.reached = Math.max(this.reached, end);
      // The pace of the source is what is tested with: a piece each 20 ms, so that nothing piles up on the way.
      await new Promise((resolve) => setTimeout(resolve, 20));
      await new Promise((resolve) => response.write(this.bytes.subarray(offset, end), resolve));
      offset = end;
    }
    response.end();
  }
}

test('imports end right though their workers are killed at random moments, and nothing is fetched thrice', async () => {
  const images = Array.from({ length: importCount }, () => new SlowImage());
  const source = await startSource((request, response) => {
    void images[Number(request.url?.slice(1))]?.serve(request, response);
  });
  const env = {
    ...importEnv,
    DARKROOM_COMMIT_INTERVAL_MS: '20',
    DARKROOM_REPAIR_INTERVAL_MS: '1000',
  };
  const services: RunningService[] = [await startService(env)];
  services.push(await services[0]!.another());
  const client = (): RunningService => services[0]!;

  const tasks: string[] = [];
  for (let i = 0; i < importCount; i += 1) {
    const { task } = await client().images.createImage({
      image: { name: `import ${i}`, diskFormat: Image_DiskFormat.RAW },
      source: {
        case: 'copyFrom',
        value: { from: { case: 'url', value: `${source.origin}/${i}` } },
      },
    });
    tasks.push(task!.id);
  }
  const read = async (taskId: string) => (await client().tasks.getTask({ taskId })).task!;
  const isLive = ({ state }: { readonly state: Task_State }): boolean =>
    state === Task_State.PENDING || state === Task_State.RUNNING;

  let marks = images.map(() => 0);
  for (let kill = 0; kill < kills; kill += 1) {
    // Each import has committed more than was ever sent of it before the last kill, and some more is on the way.
    const ahead = Math.ceil(Math.random() * 8) * pieceBytes;
    for (const [i, taskId] of tasks.entries()) {
      await expect
        .poll(async () => {
          const task = await read(taskId);
          const goal = Math.min(imageBytes, marks[i]! + ahead);
          return !isLive(task) || Number(task.progress?.bytesDone ?? 0) >= goal;
        }, patience)
        .toBe(true);
    }
    // The first time both, so that no import is spared.
    const victims = kill === 0 ? [0, 1] : [Math.random() < 0.5 ? 0 : 1];
    for (const victim of victims) {
      await services[victim]!.process.kill('SIGKILL');
    }
    marks = images.map(({ reached }) => reached);
    for (const victim of victims) {
      services[victim] = await services[victim]!.another();
    }
  }

  let interruptions = 0;
  for (const [i, taskId] of tasks.entries()) {
    await expect.poll(async () => isLive(await read(taskId)), patience).toBe(false);
    const task = await read(taskId);
    const { faults } = await client().tasks.listFaults({ of: { case: 'taskId', value: taskId } });
    expect(task.state, faults.map(({ message }) => message).join('\n')).toBe(Task_State.SUCCEEDED);
    expect(faults.filter(({ reason }) => reason !== 'SERVICE_LOST')).toEqual([]);
    interruptions += faults.length;
    const { image } = await client().images.getImage({ imageId: task.imageId });
    expect(image).toMatchObject({ state: Image_State.ACTIVE, sha256: images[i]!.sha256 });
    expect(Math.max(...images[i]!.sent)).toBeLessThanOrEqual(2);
  }
  expect(interruptions).toBeGreaterThan(0);
  await expect
    .poll(async () => disagreements(await readStoredSegments(client())), patience)
    .toEqual([]);
});
