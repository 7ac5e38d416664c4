import * as grpc from '@grpc/grpc-js';
import { createClient, Code, type Client } from '@connectrpc/connect';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  Health,
  HealthCheckResponse_ServingStatus as Status,
} from '../../../gen/grpc/health/v1/health_pb.ts';
import { DatabaseHealth } from '../../../src/server/health/database-health.ts';
import type { HealthSource } from '../../../src/server/health/health-source.ts';
import { startFakeServer, transportOf, type FakeServer } from '../fake-server.ts';

class Switch implements HealthSource {
  isServing = true;
  readonly #callbacks = new Set<() => void>();

  get watchers(): number {
    return this.#callbacks.size;
  }

  status(): 'SERVING' | 'NOT_SERVING' {
    return this.isServing ? 'SERVING' : 'NOT_SERVING';
  }

  reason(): string | undefined {
    return this.isServing ? undefined : 'DATABASE_UNAVAILABLE';
  }

  onChange(callback: () => void): () => void {
    this.#callbacks.add(callback);
    return () => this.#callbacks.delete(callback);
  }

  turn(isServing: boolean): void {
    this.isServing = isServing;
    this.#callbacks.forEach((callback) => callback());
  }
}

function clientOf(server: FakeServer): Client<typeof Health> {
  return createClient(Health, transportOf(server.url, { protocol: 'grpc', httpVersion: '2' }));
}

describe('Check', () => {
  it.each(['', 'darkroom.v1.ImageService', 'darkroom.v1.TaskService', 'grpc.health.v1.Health'])(
    'knows the service "%s"',
    async (service) => {
      const health = new Switch();
      const client = clientOf(await startFakeServer({ health }));
      expect(await client.check({ service })).toMatchObject({ status: Status.SERVING });
      health.turn(false);
      expect(await client.check({ service })).toMatchObject({ status: Status.NOT_SERVING });
    },
  );

  it('does not know others', async () => {
    const client = clientOf(await startFakeServer());
    await expect(client.check({ service: 'no.such.Service' })).rejects.toMatchObject({
      code: Code.NotFound,
    });
  });
});

it('lists the services', async () => {
  const client = clientOf(await startFakeServer());
  const { statuses } = await client.list({});
  expect(Object.keys(statuses)).toEqual([
    '',
    'darkroom.v1.ImageService',
    'darkroom.v1.TaskService',
    'grpc.health.v1.Health',
  ]);
  expect(statuses['']).toMatchObject({ status: Status.SERVING });
});

describe('Watch', () => {
  it('tells the status at once and every change, and ends with the drain', async () => {
    const health = new Switch();
    const server = await startFakeServer({ health });
    const watch = clientOf(server).watch({})[Symbol.asyncIterator]();
    expect(await watch.next()).toMatchObject({ value: { status: Status.SERVING } });
    health.turn(false);
    expect(await watch.next()).toMatchObject({ value: { status: Status.NOT_SERVING } });
    health.turn(false);
    health.turn(true);
    expect(await watch.next()).toMatchObject({ value: { status: Status.SERVING } });
    server.drain();
    expect(await watch.next()).toMatchObject({ value: { status: Status.NOT_SERVING } });
    await expect(watch.next()).rejects.toMatchObject({ code: Code.Unavailable });
    expect(health.watchers).toBe(0);
  });

  it('says SERVICE_UNKNOWN of others and goes on', async () => {
    const server = await startFakeServer();
    const watch = clientOf(server).watch({ service: 'no.such.Service' })[Symbol.asyncIterator]();
    expect(await watch.next()).toMatchObject({ value: { status: Status.SERVICE_UNKNOWN } });
    server.drain();
    await expect(watch.next()).rejects.toMatchObject({ code: Code.Unavailable });
  });

  it('lets go of everything when its client goes', async () => {
    const health = new Switch();
    const server = await startFakeServer({ health });
    const client = new grpc.Client(server.url.slice(7), grpc.credentials.createInsecure());
    onTestFinished(() => client.close());
    const watch = client.makeServerStreamRequest(
      '/grpc.health.v1.Health/Watch',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => bytes,
      Buffer.alloc(0),
    );
    watch.on('error', () => {});
    await new Promise((resolve) => watch.once('data', resolve));
    expect(health.watchers).toBe(1);
    watch.cancel();
    await expect.poll(() => health.watchers).toBe(0);
  });
});

describe('the health of the database', () => {
  it('is asked for at once and then at each interval, and told when it changes', async () => {
    vi.useFakeTimers();
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const answers = [true, true, false, new Error('x'), true];
    const probe = vi.fn(async () => {
      const answer = answers.shift();
      if (answer instanceof Error) {
        throw answer;
      }
      return answer ?? true;
    });
    const health = new DatabaseHealth({ probe, intervalMs: 1000 });
    const changes: (string | undefined)[] = [];
    health.onChange(() => changes.push(health.reason()));
    expect([health.status(), health.reason()]).toEqual(['NOT_SERVING', 'DATABASE_UNAVAILABLE']);
    await vi.advanceTimersByTimeAsync(0);
    expect([health.status(), health.reason()]).toEqual(['SERVING', undefined]);
    await vi.advanceTimersByTimeAsync(4000);
    expect(changes).toEqual([undefined, 'DATABASE_UNAVAILABLE', undefined]);
    health.stop();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(probe).toHaveBeenCalledTimes(5);
  });

  it('is bad while an answer hangs, and does not ask again meanwhile', async () => {
    vi.useFakeTimers();
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const hanging = Promise.withResolvers<boolean>();
    const probe = vi
      .fn<() => Promise<boolean>>()
      .mockResolvedValueOnce(true)
      .mockReturnValueOnce(hanging.promise)
      .mockResolvedValue(true);
    const health = new DatabaseHealth({ probe, intervalMs: 1000 });
    await vi.advanceTimersByTimeAsync(1500);
    expect(health.status()).toBe('SERVING');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(health.status()).toBe('NOT_SERVING');
    expect(probe).toHaveBeenCalledTimes(2);
    hanging.resolve(true);
    await vi.advanceTimersByTimeAsync(1000);
    expect(health.status()).toBe('SERVING');
    health.stop();
  });
});
