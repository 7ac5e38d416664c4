import { createHash, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import type { SeekableSource, UploadResult } from '../../src/client/exports.ts';
import { startService } from '../support/running-service.ts';
import { roads } from './clients.ts';
import { RoughProxy } from './rough-proxy.ts';

const mib = 1024 * 1024;
const image = { name: 'disk', diskFormat: Image_DiskFormat.RAW };
const uploads = 50;
const retry = { firstDelayMs: 20, longestDelayMs: 500 };

/** Something that happens once, and that many wait for. */
class Milestone {
  readonly reached: Promise<void>;
  reach: () => void = () => undefined;

  constructor() {
    this.reached = new Promise((resolve) => (this.reach = resolve));
  }
}

test('50 uploads go through a rolling restart of two processes, and none fails', async () => {
  const first = await startService({ DARKROOM_DRAIN_TIMEOUT_MS: '500' });
  const second = await first.another();
  await using proxy = await RoughProxy.open(first.process.url);
  proxy.leadTo(first.process.url, second.process.url);
  const [half, most] = [new Milestone(), new Milestone()];
  const bytes = randomBytes(3 * mib);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  let waiting = 0;

  /** Gives a third, and the others when each process was restarted. */
  const source = (): SeekableSource => ({
    size: bytes.length,
    async *open(offset) {
      for (const [from, milestone] of [
        [0, undefined],
        [mib, half],
        [2 * mib, most],
      ] as const) {
        if (offset < from + mib) {
          if (milestone !== undefined) {
            waiting += 1;
            await milestone.reached;
          }
          yield bytes.subarray(Math.max(offset, from), from + mib);
        }
      }
    },
  });

  const names = Object.keys(roads).slice(0, 4);
  const results: Promise<UploadResult>[] = Array.from({ length: uploads }, (_, at) => {
    const client = roads[names[at % names.length]!]!(proxy.url, { retry });
    return client.uploadImage(source(), { image });
  });
  const settled = Promise.allSettled(results);

  await expect.poll(() => waiting).toBeGreaterThanOrEqual(uploads);
  await first.process.kill('SIGTERM');
  const third = await second.another();
  proxy.leadTo(third.process.url, second.process.url);
  waiting = 0;
  half.reach();
  await expect.poll(() => waiting).toBeGreaterThanOrEqual(uploads);
  await second.process.kill('SIGTERM');
  const fourth = await third.another();
  proxy.leadTo(third.process.url, fourth.process.url);
  most.reach();

  const ends = await settled;
  const failures = ends
    .filter((end) => end.status === 'rejected')
    .map(({ reason }) => reason as unknown);
  expect(failures).toEqual([]);
  const all = await Promise.all(results);
  expect(all.map((result) => [result.image.state, result.image.sha256])).toEqual(
    Array.from({ length: uploads }, () => [Image_State.ACTIVE, sha256]),
  );
  // Each process had some of them when it was stopped.
  expect(all.reduce((sum, { resumes }) => sum + resumes, 0)).toBeGreaterThanOrEqual(uploads / 2);
});
