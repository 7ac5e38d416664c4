import * as http from 'node:http';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { createClient, type Transport } from '@connectrpc/connect';
import { expect } from 'vitest';
import { ImageService } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { TaskService } from '../../../gen/darkroom/v1/task_service_pb.ts';
import type { ServerOptions } from '../../../src/server/server.ts';
import { failureOf, readAll, type Failure } from '../../support/failures.ts';
import { startFakeServer, type FakeServer } from '../fake-server.ts';

/** A server that counts what is done. */
export interface CountingServer extends FakeServer {
  /** How many calls have reached their handlers. */
  done(): number;
}

export async function startCounting(
  settings: Partial<ServerOptions['settings']>,
): Promise<CountingServer> {
  let count = 0;
  const server = await startFakeServer({
    settings,
    images: {
      deleteImage() {
        count += 1;
        return {};
      },
    },
    tasks: {
      async *watchTask() {
        count += 1;
        yield {};
      },
    },
    httpRoutes: [
      {
        method: 'GET',
        path: '/v2/things',
        handle({ response }) {
          count += 1;
          response.end('things');
        },
      },
    ],
  });
  return { ...server, done: () => count };
}

/** Holds that a call is refused before it is done, in the words of the transport's protocol, and a stream too. */
export async function expectRefusals(
  server: CountingServer,
  transport: Transport,
  refusal: Partial<Failure>,
): Promise<void> {
  const before = server.done();
  const images = createClient(ImageService, transport);
  const tasks = createClient(TaskService, transport);
  expect(await failureOf(images.deleteImage({}))).toMatchObject(refusal);
  expect(await failureOf(readAll(tasks.watchTask({})))).toMatchObject(refusal);
  expect(server.done()).toBe(before);
}

/** Holds that calls are done. */
export async function expectDone(server: CountingServer, transport: Transport): Promise<void> {
  const before = server.done();
  await createClient(ImageService, transport).deleteImage({});
  expect(await readAll(createClient(TaskService, transport).watchTask({}))).toHaveLength(1);
  expect(server.done()).toBe(before + 2);
}

/** What was answered. */
export interface Answer {
  readonly status: number | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** Asks over HTTP/1.1, with any header, those too that only browsers set; a POST if there is something to send. */
export async function ask(
  { port }: CountingServer,
  path: string,
  headers: http.OutgoingHttpHeaders,
  sent?: string,
): Promise<Answer> {
  const method = sent === undefined ? 'GET' : 'POST';
  const request = http.request({ host: '127.0.0.1', port, path, method, headers });
  request.end(sent);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}
