import { describe, expect, test } from 'vitest';
import { Code } from '../../gen/google/rpc/code_pb.ts';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import type { ConnectionState, TasksNews } from '../../src/client/exports.ts';
import { startService } from '../support/running-service.ts';
import { hasty, roads } from './clients.ts';
import { RoughProxy } from './rough-proxy.ts';

const image = { name: 'disk', diskFormat: Image_DiskFormat.RAW };
const passing = { code: Code.UNAVAILABLE, reason: 'DISK_BUSY', message: 'The disk is busy.' };

describe.each(Object.entries(roads).slice(0, 4))('a watch by %s', (_, client) => {
  test('tells every change once and in order, through cuts and a restart, and ends', async () => {
    const first = await startService({ DARKROOM_DRAIN_TIMEOUT_MS: '100' });
    await using proxy = await RoughProxy.open(first.process.url);
    const watching = client(proxy.url, { retry: hasty });
    const second = await first.another();
    // Straight to the one that stays.
    const { images, tasks } = second;
    const { task } = await images.createImage({ image, source: { case: 'snapshot', value: {} } });
    const taskId = task!.id;
    const revisions: number[] = [];
    const states: ConnectionState['state'][] = [];
    let last: Task_State | undefined;
    const watched = (async () => {
      const options = { onConnection: ({ state }: ConnectionState) => void states.push(state) };
      for await (const news of watching.watchTask(taskId, options)) {
        if (news.kind === 'snapshot') {
          revisions.push(Number(news.task.revision));
        } else if (news.kind === 'update') {
          revisions.push(Number(news.event.revision));
          last = news.event.state;
        }
      }
    })();
    await expect.poll(() => revisions).toEqual([1]);
    for (let round = 0; round < 3; round += 1) {
      await tasks.reportFault({ taskId, ...passing });
      proxy.cutAll();
      await tasks.reportFault({ taskId, ...passing });
      await expect.poll(() => revisions.length).toBe(3 + round * 2);
    }
    const stopped = first.process.kill('SIGTERM');
    proxy.leadTo(second.process.url);
    await tasks.reportFault({ taskId, ...passing, fatal: true });
    await stopped;
    await watched;
    expect(revisions).toEqual(Array.from({ length: 8 }, (__, at) => at + 1));
    expect(last).toBe(Task_State.FAILED);
    expect(states.filter((state) => state === 'waiting').length).toBeGreaterThanOrEqual(3);
  });

  test('of many tasks begins anew after a break, and says so', async () => {
    const service = await startService();
    await using proxy = await RoughProxy.open(service.process.url);
    const darkroom = client(proxy.url, { retry: hasty });
    const { images } = service;
    const create = async (): Promise<string> => {
      const made = await images.createImage({ image, source: { case: 'upload', value: {} } });
      return made.task!.id;
    };
    const one = await create();
    const told: string[] = [];
    const nameOf = (news: TasksNews): string => (news.kind === 'task' ? news.task.id : news.kind);
    const end = new AbortController();
    const watched = (async () => {
      for await (const news of darkroom.watchTasks({}, { signal: end.signal })) {
        told.push(nameOf(news));
      }
    })();
    await expect.poll(() => told).toEqual(['begin', one, 'synced']);
    const two = await create();
    await expect.poll(() => told.at(-1)).toBe(two);
    told.length = 0;
    proxy.cutAll();
    await expect.poll(() => told.at(-1)).toBe('synced');
    expect(told[0]).toBe('begin');
    expect(new Set(told.slice(1, -1))).toEqual(new Set([one, two]));
    end.abort(new Error('enough'));
    await expect(watched).rejects.toThrow('enough');
  });

  test('of a task that there is not fails at once', async () => {
    const service = await startService();
    const darkroom = client(service.process.url, { retry: hasty });
    const taskId = '01a200b7-0307-746b-b556-68c748a66a23';
    await expect(darkroom.waitForTask(taskId)).rejects.toMatchObject({ reason: 'TASK_NOT_FOUND' });
    await expect(darkroom.waitForImage(taskId)).rejects.toMatchObject({
      reason: 'IMAGE_NOT_FOUND',
    });
  });
});
