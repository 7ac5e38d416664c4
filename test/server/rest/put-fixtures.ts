import { once } from 'node:events';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import { buffer } from 'node:stream/consumers';
import { expect, onTestFinished } from 'vitest';
import type { RunningService } from '../../support/running-service.ts';

/** What a request is answered with. */
export interface Answer {
  readonly status: number | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
  /** The service's own reason, of an error. */
  readonly reason: string | undefined;
}

/** Headers of a request, as a test writes them. */
export type Headers = Readonly<Record<string, string | number>>;

const octets = { 'content-type': 'application/octet-stream' };

/** Asks for a place over HTTP/1.1. @param body sent by its length, or in chunks if the headers say so. */
export async function ask(
  { process: { url } }: Pick<RunningService, 'process'>,
  method: string,
  path: string,
  headers: Headers = {},
  body?: Uint8Array | string,
): Promise<Answer> {
  const request = http.request(url + path, {
    method,
    headers: { accept: 'application/json', ...headers },
    agent: false,
  });
  request.end(body);
  return answerOf(request);
}

/** Puts bytes whole, with their length. */
export function put(
  service: Pick<RunningService, 'process'>,
  path: string,
  bytes: Uint8Array,
  headers: Headers = {},
): Promise<Answer> {
  return ask(service, 'PUT', path, { ...octets, ...headers }, bytes);
}

/** Puts bytes whole, in chunks, so that nothing but their end says that they are all. */
export function putChunked(
  service: RunningService,
  path: string,
  bytes: Uint8Array,
  headers: Headers = {},
): Promise<Answer> {
  return put(service, path, bytes, { 'transfer-encoding': 'chunked', ...headers });
}

/** Puts bytes in chunks, but sends none of them before it is told to go on. */
export async function putWhenAsked(service: RunningService, path: string, bytes: Uint8Array) {
  const request = http.request(service.process.url + path, {
    method: 'PUT',
    headers: { ...octets, expect: '100-continue', 'transfer-encoding': 'chunked' },
    agent: false,
  });
  let wasAsked = false;
  request.on('continue', () => {
    wasAsked = true;
    request.end(bytes);
  });
  onTestFinished(() => void request.destroy());
  request.flushHeaders();
  const { status } = await answerOf(request);
  return { status, wasAsked };
}

/** A PUT that sends what it is told to, and else stays open. */
export interface HeldPut {
  send(bytes: Uint8Array): Promise<void>;
  /** Ends the body as it should be ended. */
  end(): void;
  /** Breaks the connection. */
  cut(): void;
  readonly answer: Promise<Answer>;
}

/** Opens a PUT in chunks, or by length where the headers have one. Who cuts it has no answer to wait for. */
export function holdPut(
  service: Pick<RunningService, 'process'>,
  path: string,
  headers: Headers = {},
): HeldPut {
  const request = http.request(service.process.url + path, {
    method: 'PUT',
    headers: { ...octets, accept: 'application/json', ...headers },
    agent: false,
  });
  request.flushHeaders();
  const answer = answerOf(request);
  answer.catch(() => {});
  onTestFinished(() => void request.destroy());
  return {
    answer,
    send: (bytes) =>
      new Promise((resolve, reject) => {
        request.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
    end: () => void request.end(),
    cut: () => void request.destroy(),
  };
}

/** Writes a request as it stands, and answers all that comes until the connection ends. */
export async function sendRaw(service: RunningService, ...parts: (string | Uint8Array)[]) {
  const { hostname, port } = new URL(service.process.url);
  const socket = net.connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  for (const part of parts) {
    socket.write(part);
  }
  return (await buffer(socket)).toString('latin1');
}

/** Puts bytes over HTTP/2. @param end how the stream ends: well, by a reset, or as Node's clients cancel it. */
export async function putHttp2(
  service: RunningService,
  path: string,
  bytes: Uint8Array,
  headers: http2.OutgoingHttpHeaders = {},
  end: 'end' | 'reset' | 'cancel' = 'end',
): Promise<Answer | undefined> {
  const session = http2.connect(service.process.url);
  onTestFinished(() => session.destroy());
  const stream = session.request({
    ':method': 'PUT',
    ':path': path,
    accept: 'application/json',
    ...octets,
    ...headers,
  });
  stream.on('error', () => {});
  const head = once(stream, 'response').catch(() => undefined);
  await new Promise((resolve) => void stream.write(bytes, resolve));
  if (end === 'end') {
    stream.end();
  } else {
    stream.close(
      end === 'reset' ? http2.constants.NGHTTP2_INTERNAL_ERROR : http2.constants.NGHTTP2_CANCEL,
    );
  }
  const answered = end === 'end' ? await head : undefined;
  if (answered === undefined) {
    return undefined;
  }
  const [received] = answered as [http2.IncomingHttpHeaders & { ':status'?: number }];
  const body = (await buffer(stream)).toString();
  return answerWith(received[':status'], received, body);
}

async function answerOf(request: http.ClientRequest): Promise<Answer> {
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const body = (await buffer(response)).toString();
  return answerWith(response.statusCode, response.headers, body);
}

function answerWith(
  status: number | undefined,
  headers: http.IncomingHttpHeaders,
  body: string,
): Answer {
  const { reason } = (body === '' ? {} : JSON.parse(body)) as { reason?: string };
  return { status, headers, body, reason };
}

/** How an image is, as the contract tells it. */
export async function imageState(service: RunningService, imageId: string) {
  return (await service.images.getImage({ imageId })).image;
}

/** Fails unless the image can be read with just these bytes. */
export async function expectBytes(
  service: RunningService,
  imageId: string,
  bytes: Buffer,
): Promise<void> {
  const request = http.request(`${service.process.url}/v2/images/${imageId}/file`).end();
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  expect(response.statusCode).toBe(200);
  expect((await buffer(response)).equals(bytes)).toBe(true);
}

/** Waits until so many bytes of an image are stored, as its own sender would learn it. */
export async function untilStored(
  service: RunningService,
  path: string,
  bytes: number,
): Promise<void> {
  await expect
    .poll(async () => (await ask(service, 'HEAD', path)).headers['upload-offset'], {
      timeout: 60_000,
      interval: 20,
    })
    .toBe(String(bytes));
}
