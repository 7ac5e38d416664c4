import { expect, onTestFinished, test } from 'vitest';
import { measurePeer, type Peer } from '../../bench/cases/peers.ts';
import {
  baselineTarget,
  cCoreTarget,
  type UploadTarget,
} from '../../bench/cases/upload-targets.ts';
import type { UploadLoad } from '../../bench/load/upload-load.ts';
import { startScript } from '../../bench/stage/script.ts';
import { Stage } from '../../bench/stage/stage.ts';

const MiB = 1024 * 1024;

async function openStage(): Promise<Stage> {
  const stage = await Stage.open();
  onTestFinished(() => stage.close());
  return stage;
}

test.each<[string, (stage: Stage) => Promise<UploadTarget | undefined>]>([
  ['the baseline', baselineTarget],
  ['a server in Python on the C core', cCoreTarget],
])('%s keeps what it is sent, and says so', async (name, start) => {
  const stage = await openStage();
  const target = await start(stage);
  if (target === undefined) {
    console.warn(
      `${name} was not tried: Python has no gRPC (Debian: python3-grpcio python3-protobuf)`,
    );
    return;
  }
  const load = startScript<UploadLoad>(
    stage,
    new URL('../../bench/load/upload-load.ts', import.meta.url),
  );
  const order = { bytesEach: 3 * MiB + 17, content: 'random' } as const;
  const sent = await load.ask('sha256', order);
  const taskIds = await target.prepare(1);
  const { sha256 } = await load.ask('upload', {
    ...order,
    url: target.url,
    taskIds,
    chunkBytes: MiB,
  });
  expect(sha256).toBe(sent);
  expect(await target.kept(taskIds[0]!)).toBe(sent);
  await target.clear();
});

test('a server that keeps another image than was sent ends the run', async () => {
  const peer = (kept: string): Peer => ({
    name: 'a server',
    pid: process.pid,
    sha256: 'what was sent',
    upload: () =>
      Promise.resolve({
        seconds: 1,
        kept: () => Promise.resolve(kept),
        clear: () => Promise.resolve(),
      }),
  });
  expect(await measurePeer(peer('what was sent'), process.pid)).toMatchObject({ seconds: 1 });
  await expect(measurePeer(peer('something else'), process.pid)).rejects.toThrow(
    'a server keeps something else, and what was sent was sent',
  );
});
