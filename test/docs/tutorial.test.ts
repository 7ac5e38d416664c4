import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { codeBlocks, sectionOf, type CodeBlock } from '../support/readme.ts';
import { startService } from '../support/running-service.ts';
import { repository } from '../support/service-process.ts';
import { ShellWorld } from '../support/shell-world.ts';

test('the tutorial goes as it says, Ctrl-C in the middle included', async () => {
  const page = await readFile(join(repository, 'docs/tutorial.md'), 'utf8');
  const blocksOf = (heading: string): CodeBlock[] => codeBlocks(sectionOf(page, heading));
  const script = (heading: string, block = 0): string => blocksOf(heading)[block]!.code;

  expect(script('1. Serve')).toBe('npm ci && npm start\n');
  const service = await startService({ DARKROOM_COMMIT_BYTES: '1048576' });
  await using world = await ShellWorld.make({ DARKROOM_ENDPOINT: service.process.url });

  const said = await world.play(script('2. Upload'));
  const [promised] = script('2. Upload', 1).split('…');
  expect(said.startsWith(promised!), said).toBe(true);
  expect(await world.play(script('2. Upload', 2))).toContain('first');

  // Half of what the page says: it is written and read a few times.
  const [making, uploading, ...rest] = script('3. Break it').replace('512M', '256M').split('\n');
  expect(rest).toEqual(['']);
  expect(uploading).toMatch(/# Ctrl-C$/);
  await world.play(making!);
  const upload = world.start(uploading!);
  const task = async () => {
    const { images } = await service.images.listImages({ filter: { namePrefix: 'second' } });
    const { tasks } = await service.tasks.listTasks({ filter: { imageId: images[0]?.id ?? '' } });
    return images.length === 0 ? undefined : tasks[0];
  };
  await expect
    .poll(async () => Number((await task())?.progress?.bytesDone ?? 0n), { interval: 10 })
    .toBeGreaterThan(0);
  process.kill(-upload.child.pid!, 'SIGINT');
  const { code, errors } = await upload.ended;
  expect(code, errors).toBe(130);
  const broken = await task();
  expect(broken?.state).toBe(Task_State.RUNNING);
  expect(Number(broken?.progress?.bytesDone)).toBeLessThan(256 * 2 ** 20);
  const told = await world.play(script('3. Break it', 1));
  expect(told).toContain('second');

  expect(script('4. Go on').trim()).toBe(uploading!.replace(/ +# Ctrl-C$/, ''));
  expect(await world.play(script('4. Go on'))).toMatch(/^second is active: 256\.0 MiB/);
  expect(await task()).toMatchObject({ id: broken!.id, state: Task_State.SUCCEEDED });
  const { images } = await service.images.listImages({});
  expect(images).toHaveLength(2);
  expect(images.every(({ state }) => state === Image_State.ACTIVE)).toBe(true);

  const [watching] = script('5. Watch').split('\n');
  const watch = world.start(watching!);
  // It is told task by task.
  let board = '';
  watch.child.stdout?.on('data', (text: Buffer) => (board += String(text)));
  await expect.poll(() => board).toContain(broken!.id);
  process.kill(-watch.child.pid!, 'SIGINT');
  expect((await watch.ended).code).toBe(130);
  await world.play('npx darkroom wait second');
});
