import { once } from 'node:events';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { createClient } from '@connectrpc/connect';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  TaskService,
  WatchTaskResponseSchema,
  type WatchTaskResponse,
} from '../../../gen/darkroom/v1/task_service_pb.ts';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { envelopeOf } from '../../../src/server/rpc/envelope.ts';
import { answersItself } from '../../../src/server/rpc/watch-answer.ts';
import type { Enclose } from '../../../src/server/rpc/watch-envelopes.ts';
import type { Wakeable } from '../../../src/tasks/watching/wakes.ts';
import { messagesOf, type Watch } from '../../../src/tasks/watching/watch.ts';
import { failureOf, readAll } from '../../support/failures.ts';
import { startFakeServer, transportOf, transports, type FakeServer } from '../fake-server.ts';

const method = 'darkroom.v1.TaskService/WatchTask';

const enclose: Enclose<WatchTaskResponse> = (message, _, compression) =>
  envelopeOf([toBinary(WatchTaskResponseSchema, message)], compression);

/** A watch that tells what the test has it tell. */
class ScriptedWatch implements Watch<WatchTaskResponse> {
  readonly #next: () => WatchTaskResponse | 'end' | undefined;
  #reader: Wakeable | undefined;
  hasEnded = false;
  isClosed = false;
  taken = 0;

  /** @param next the next message; undefined if there is none yet. */
  constructor(next: () => MessageInitShape<typeof WatchTaskResponseSchema> | 'end' | undefined) {
    this.#next = () => {
      const message = next();
      return typeof message === 'object' ? create(WatchTaskResponseSchema, message) : message;
    };
  }

  begin(reader: Wakeable): Promise<this> {
    this.#reader = reader;
    return Promise.resolve(this);
  }

  /** Whether a call has come so far. */
  get hasBegun(): boolean {
    return this.#reader !== undefined;
  }

  wake(): void {
    this.#reader?.wake();
  }

  take(): WatchTaskResponse | undefined {
    const message = this.#next();
    if (message === 'end') {
      this.hasEnded = true;
      return undefined;
    }
    this.taken += message === undefined ? 0 : 1;
    return message;
  }

  close(): void {
    this.isClosed = true;
  }
}

function startWatched(watch: ScriptedWatch): Promise<FakeServer> {
  return startFakeServer({
    tasks: {
      async *watchTask(_, context) {
        const begin = (reader: Wakeable): Promise<ScriptedWatch> => watch.begin(reader);
        if (!(await answersItself(context, enclose, begin))) {
          yield* messagesOf(begin, context.signal);
        }
      },
    },
  });
}

describe.each(transports)('a watch over $protocol and HTTP/$httpVersion', (kind) => {
  it('tells what there is, waits, and ends well', async () => {
    const tokens = ['a', 'x'.repeat(5000), 'b'];
    const told = [...tokens];
    const watch = new ScriptedWatch(() => {
      const resumeToken = told.shift();
      return resumeToken === undefined ? undefined : { resumeToken };
    });
    const server = await startWatched(watch);
    const client = createClient(TaskService, transportOf(server.url, kind));
    const messages = client.watchTask({})[Symbol.asyncIterator]();
    for (const resumeToken of tokens) {
      expect((await messages.next()).value).toMatchObject({ resumeToken });
    }
    told.push('later');
    watch.wake();
    expect((await messages.next()).value).toMatchObject({ resumeToken: 'later' });
    watch.hasEnded = true;
    watch.wake();
    expect(await messages.next()).toMatchObject({ done: true });
    expect(watch.isClosed).toBe(true);
    await expect.poll(() => server.accessLine(method)).toMatchObject({ code: 'OK', level: 20 });
  });

  it('ends with the error that the watch ends with', async () => {
    let count = 0;
    const watch = new ScriptedWatch(() => {
      count += 1;
      if (count > 2) {
        throw new DarkroomError('SERVER_DRAINING', 'call again', { retryDelayMs: 500 });
      }
      return { resumeToken: String(count) };
    });
    const server = await startWatched(watch);
    const client = createClient(TaskService, transportOf(server.url, kind));
    expect(await failureOf(readAll(client.watchTask({})))).toMatchObject({
      code: 'Unavailable',
      reason: 'SERVER_DRAINING',
      hasRetryInfo: true,
      message: 'call again',
    });
    expect(watch.isClosed).toBe(true);
    await expect
      .poll(() => server.accessLine(method))
      .toMatchObject({ code: 'UNAVAILABLE', reason: 'SERVER_DRAINING' });
  });

  it('tells nothing of what should not happen but the id of the request', async () => {
    const server = await startWatched(
      new ScriptedWatch(() => {
        throw new TypeError('a secret');
      }),
    );
    const client = createClient(TaskService, transportOf(server.url, kind));
    const failure = await failureOf(readAll(client.watchTask({})));
    expect(failure).toMatchObject({ code: 'Internal', reason: 'INTERNAL' });
    expect(failure.message).not.toContain('secret');
    await expect.poll(() => server.accessLine(method)).toMatchObject({ code: 'INTERNAL' });
  });

  it('ends when the time for the call is over', async () => {
    const watch = new ScriptedWatch(() => undefined);
    const server = await startWatched(watch);
    const client = createClient(TaskService, transportOf(server.url, kind));
    expect(await failureOf(readAll(client.watchTask({}, { timeoutMs: 50 })))).toMatchObject({
      code: 'DeadlineExceeded',
    });
    // A client may have given up before its call has come.
    await expect.poll(() => watch.isClosed || !watch.hasBegun).toBe(true);
  });
});

it.each(['application/grpc+proto', 'application/connect+proto', 'application/grpc-web+proto'])(
  'a watch lets go when its client gives it up (%s)',
  async (contentType) => {
    const watch = new ScriptedWatch(() => (watch.taken === 0 ? { resumeToken: 'a' } : undefined));
    const server = await startWatched(watch);
    const session = http2.connect(server.url);
    onTestFinished(() => session.destroy());
    const stream = session.request({
      ':method': 'POST',
      ':path': `/${method}`,
      'content-type': contentType,
    });
    stream.end(Buffer.alloc(5));
    await once(stream, 'data');
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await expect.poll(() => watch.isClosed).toBe(true);
    await expect.poll(() => server.accessLine(method)).toMatchObject({ code: 'CANCELED' });
  },
);

it.each(['application/connect+proto', 'application/grpc-web+proto'])(
  'a watch over HTTP/1.1 lets go when its client closes the connection (%s)',
  async (contentType) => {
    let told = 1;
    const watch = new ScriptedWatch(() =>
      watch.taken < told ? { resumeToken: 'x'.repeat(1000) } : undefined,
    );
    const server = await startWatched(watch);
    const request = http.request(`${server.url}/${method}`, {
      method: 'POST',
      headers: { 'content-type': contentType },
    });
    request.on('error', () => {});
    request.end(Buffer.alloc(5));
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    response.on('error', () => {});
    await once(response, 'data');
    request.destroy();
    // Node's server notices when it writes.
    await expect
      .poll(() => {
        told += 1;
        watch.wake();
        return watch.isClosed;
      })
      .toBe(true);
  },
);

it.each(['application/grpc+proto', 'application/connect+proto'])(
  'a client who does not read keeps a watch from telling more, until he reads (%s)',
  async (contentType) => {
    const watch = new ScriptedWatch(() =>
      watch.taken < 1000 ? { resumeToken: 'x'.repeat(10_000) } : 'end',
    );
    const server = await startWatched(watch);
    const session = http2.connect(server.url, { settings: { initialWindowSize: 1000 } });
    onTestFinished(() => session.destroy());
    const stream = session.request({
      ':method': 'POST',
      ':path': `/${method}`,
      'content-type': contentType,
    });
    stream.end(Buffer.alloc(5));
    await once(stream, 'response');
    // All that it takes it takes before the head is out.
    expect(watch.taken).toBeGreaterThan(0);
    expect(watch.taken).toBeLessThan(10);
    watch.wake();
    expect(watch.taken).toBeLessThan(10);
    stream.resume();
    await once(stream, 'end');
    expect(watch.taken).toBe(1000);
  },
);
