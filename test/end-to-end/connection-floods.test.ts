import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import * as net from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { percentile } from '../../bench/measurements.ts';
import { cpuSeconds, memoryOf, resetPeak } from '../../bench/stage/process-usage.ts';
import {
  flags,
  frame,
  frameTypes,
  callHead,
  magic,
  openRaw,
  reset,
} from '../../bench/wire/http2-frames.ts';
import { patience } from '../support/held-upload.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { repository } from '../support/service-process.ts';
import { expectSound } from '../support/sound-service.ts';

const MiB = 1024 * 1024;
const enhanceYourCalm = 11;

/** A second client, in a process of its own, that calls the service all the time. */
interface SteadyCaller {
  /** How long each of its next calls took, in ms. */
  next(calls: number): Promise<number[]>;
  /** How many calls it has made. */
  made(): number;
  stop(): Promise<void>;
}

function startCaller(service: RunningService): SteadyCaller {
  const script = join(repository, 'test/clients/steady-caller.ts');
  const client = spawn(process.execPath, [script, service.process.url], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(client, 'close');
  onTestFinished(() => void client.kill('SIGKILL'));
  const times: number[] = [];
  createInterface({ input: client.stdout }).on('line', (line) => times.push(Number(line)));
  return {
    async next(calls) {
      const first = times.length;
      await expect.poll(() => times.length, patience).toBeGreaterThanOrEqual(first + calls);
      return times.slice(first);
    },
    made: () => times.length,
    async stop() {
      client.stdin.end();
      expect(await ended).toEqual([0, null]);
    },
  };
}

/** On how busy a machine ever, a call may take so long, in ms. */
const noise = 100;

test('20,000 calls begun and given up on one connection hold up no other client, and take little memory', async () => {
  const service = await startService();
  const { pid, url } = service.process;
  const port = Number(new URL(url).port);
  const head = callHead('/darkroom.v1.ImageService/ListImages');
  const flood = Buffer.concat([
    magic,
    frame(frameTypes.settings, 0, 0),
    ...Array.from({ length: 20_000 }, (_, i) =>
      Buffer.concat([
        frame(frameTypes.headers, flags.endHeaders, 1 + 2 * i, head),
        frame(frameTypes.data, flags.endStream, 1 + 2 * i, Buffer.alloc(5)),
        reset(1 + 2 * i, 8),
      ]),
    ),
  ]);
  const caller = startCaller(service);
  const quiet = percentile(await caller.next(200), 0.99);
  await resetPeak(pid);
  const before = await memoryOf(pid);
  const attacked: number[] = [];
  let cpu = 0;
  for (let round = 0; round < 3; round += 1) {
    const meanwhile = caller.next(200);
    const used = await cpuSeconds(pid);
    const attack = openRaw(port, flood);
    await attack.closed;
    cpu += (await cpuSeconds(pid)) - used;
    expect(attack.goaways).toMatchObject([{ code: enhanceYourCalm }]);
    attacked.push(...(await meanwhile));
  }
  await caller.stop();
  expect(percentile(attacked, 0.99)).toBeLessThanOrEqual(3 * Math.max(quiet, noise));
  // It was 2.5 s and more for each of them before they were bounded.
  expect(cpu).toBeLessThan(2.5);
  // It was 250 MiB for the first of them; V8 lets its young generation grow as it likes.
  expect((await memoryOf(pid)).peak - before.resident).toBeLessThan(192 * MiB);
  // None of the calls that were given up was begun: only those of the second client are told of.
  const begun = service.process.log.filter(({ method }) => String(method).endsWith('/ListImages'));
  expect(begun.length).toBeLessThanOrEqual(caller.made() + 1);
  await expectSound(service);
});

test('1,500 half-sent heads and 1,000 silent connections of HTTP/2 keep nobody out, and go', async () => {
  const service = await startService({
    DARKROOM_HEAD_TIMEOUT_MS: '2000',
    DARKROOM_IDLE_CONNECTION_TIMEOUT_MS: '2000',
  });
  const { pid, url } = service.process;
  const port = Number(new URL(url).port);
  const openFiles = async (): Promise<number> => (await readdir(`/proc/${pid}/fd`)).length;
  const before = await openFiles();
  const caller = startCaller(service);
  await caller.next(1);
  const holders = Array.from({ length: 2500 }, (_, i) => {
    const socket = net
      .connect(port, '127.0.0.1')
      .on('error', () => {})
      .resume();
    socket.write(
      i < 1500
        ? 'GET /healthz HTTP/1.1\r\nhost: localhost\r\n'
        : Buffer.concat([magic, frame(frameTypes.settings, 0, 0)]),
    );
    return new Promise((resolve) => socket.once('close', resolve));
  });
  await caller.next(20);
  await Promise.all(holders);
  await caller.next(20);
  await caller.stop();
  // The second client's own connection is told to go once it has been idle.
  await expect.poll(openFiles, patience).toBeLessThanOrEqual(before + 5);
  await expectSound(service);
});
