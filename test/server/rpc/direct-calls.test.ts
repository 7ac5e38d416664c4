import { setTimeout as delay } from 'node:timers/promises';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { create, toBinary, toJsonString } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { GetImageRequestSchema } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { DirectCallContext } from '../../../src/server/rpc/direct-call-context.ts';
import { startFakeServer, type FakeServer, type FakeServerOptions } from '../fake-server.ts';

const path = '/darkroom.v1.ImageService/GetImage';

/** How a call is sent, written so that it is answered directly, and so that it is left to connect. */
const ways = [
  { name: 'JSON over HTTP/1.1', http: 1, direct: 'application/json', left: 'Application/json' },
  {
    name: 'protobuf over HTTP/1.1',
    http: 1,
    direct: 'application/proto',
    left: 'Application/proto',
  },
  { name: 'JSON over HTTP/2', http: 2, direct: 'application/json', left: 'Application/json' },
  { name: 'protobuf over HTTP/2', http: 2, direct: 'application/proto', left: 'Application/proto' },
  { name: 'gRPC', http: 2, direct: 'application/grpc', left: 'Application/grpc' },
  { name: 'gRPC+proto', http: 2, direct: 'application/grpc+proto', left: 'Application/grpc+proto' },
] as const;

type Way = (typeof ways)[number];

/** All that comes back, but what is of the moment. */
interface Answer {
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
  readonly trailers: Readonly<Record<string, unknown>>;
}

interface Sent {
  readonly contentType: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Sent one after the other. */
  readonly parts: readonly Uint8Array[];
}

function call({ http: version }: Way, url: string, sent: Sent): Promise<Answer> {
  return version === 1 ? callHttp1(url, sent) : callHttp2(url, sent);
}

async function callHttp1(url: string, { contentType, headers, parts }: Sent): Promise<Answer> {
  const request = http.request(url + path, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': contentType, 'x-request-id': 'one', ...headers },
  });
  const answered = once(request, 'response') as Promise<[http.IncomingMessage]>;
  await sendTo(request, parts);
  const [response] = await answered;
  const body = Buffer.concat(await response.toArray());
  return {
    headers: { ...settled(response.headers), status: response.statusCode },
    body: body.toString('latin1'),
    trailers: response.trailers,
  };
}

async function callHttp2(url: string, { contentType, headers, parts }: Sent): Promise<Answer> {
  const session = http2.connect(url);
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': contentType,
      'x-request-id': 'one',
      ...headers,
    });
    let answered: http2.IncomingHttpHeaders = {};
    let trailers: http2.IncomingHttpHeaders = {};
    stream.on('response', (given) => (answered = given));
    stream.on('trailers', (given) => (trailers = given));
    await sendTo(stream, parts);
    const body = Buffer.concat(await stream.toArray());
    return {
      headers: settled(answered),
      body: body.toString('latin1'),
      trailers: { ...trailers },
    };
  } finally {
    session.destroy();
  }
}

async function sendTo(
  request: http.ClientRequest | http2.ClientHttp2Stream,
  parts: readonly Uint8Array[],
): Promise<void> {
  for (const [index, part] of parts.entries()) {
    if (index > 0) {
      // A packet of its own, most of the time.
      await delay(1);
    }
    request.write(part);
  }
  request.end();
}

/** What does not depend on when, or on which connection, an answer was given. */
function settled(headers: http.IncomingHttpHeaders): Record<string, unknown> {
  return { ...headers, date: undefined, connection: undefined, 'keep-alive': undefined };
}

function bodyOf({ direct }: Way, imageId: string): Uint8Array {
  const message = create(GetImageRequestSchema, { imageId });
  if (direct === 'application/json') {
    return Buffer.from(toJsonString(GetImageRequestSchema, message));
  }
  const data = toBinary(GetImageRequestSchema, message);
  return direct === 'application/proto' ? data : enveloped(data);
}

function enveloped(data: Uint8Array, flags = 0): Uint8Array {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags, 0);
  head.writeUInt32BE(data.byteLength, 1);
  return Buffer.concat([head, data]);
}

async function startAnswering(
  getImage?: NonNullable<FakeServerOptions['images']>['getImage'],
): Promise<FakeServer> {
  return startFakeServer({
    images: {
      getImage:
        getImage ??
        (({ imageId }, context) => {
          context.responseHeader.set('etag', `W/"${imageId.length}"`);
          context.responseTrailer.set('x-tail', 'end');
          return { image: { id: imageId, name: 'Größe', createTime: timestampFromMs(1_000) } };
        }),
    },
  });
}

/** The two answers to one call, sent in both ways. */
async function bothAnswers(
  server: FakeServer,
  way: Way,
  parts: readonly Uint8Array[],
  headers: Readonly<Record<string, string>> = {},
): Promise<readonly [Answer, Answer]> {
  return Promise.all([
    call(way, server.url, { contentType: way.direct, headers, parts }),
    call(way, server.url, { contentType: way.left, headers, parts }),
  ]);
}

describe.each(ways)('a small call, $name,', (way) => {
  test('is answered as connect answers it', async () => {
    const server = await startAnswering();
    const [direct, left] = await bothAnswers(server, way, [bodyOf(way, 'a')]);
    expect(direct).toEqual(left);
    expect(direct.headers).toMatchObject({ etag: 'W/"1"' });
  });

  test.each([
    ['in pieces', 'a'.repeat(3000), {}],
    ['with a timeout', 'a', { 'grpc-timeout': '10S', 'connect-timeout-ms': '10000' }],
    ['with one that is longer than any timer', 'a', { 'grpc-timeout': '99999999H' }],
    ['that accepts gzip, and gets a long answer', 'a'.repeat(3000), acceptedAs('gzip')],
    ['that accepts br or gzip, and gets a short answer', 'a', acceptedAs('br, gzip')],
    ['that accepts what nobody knows', 'a'.repeat(3000), acceptedAs('zip')],
    ['of 100 kB', 'a'.repeat(100_000), {}],
    ['with a limit that is none', 'a', { 'grpc-timeout': 'soon', 'connect-timeout-ms': 'soon' }],
    ['compressed as nobody knows', 'a', compressedAs('zip')],
  ] as const)('%s is answered as connect answers it', async (_, imageId, headers) => {
    const server = await startAnswering();
    const body = bodyOf(way, imageId);
    const middle = Math.ceil(body.byteLength / 2);
    const parts = [body.subarray(0, middle), body.subarray(middle)];
    const [direct, left] = await bothAnswers(server, way, parts, headers);
    expect(direct).toEqual(left);
  });

  test.each([
    ['nothing', []],
    ['nonsense', [Buffer.from('\x00\x00\x00\x00\x05{"im')]],
    ['half a message', [Buffer.from([0, 0, 0, 0, 9, 10])]],
    ['two messages', [enveloped(Buffer.alloc(0)), enveloped(Buffer.alloc(0))]],
    ['a message that says it is compressed', [enveloped(gzipSync('x'), 1)]],
    ['a field of a wrong type', [Buffer.from('{"imageId": 7}')]],
    ['a field that nobody knows', [Buffer.from('{"imageIdentity": "x"}')]],
    ['text that is no UTF-8', [Buffer.from([0x0a, 1, 0xff])]],
  ] as const)('of %s is answered as connect answers it', async (_, parts) => {
    const server = await startAnswering();
    const [direct, left] = await bothAnswers(server, way, parts);
    expect(direct).toEqual(left);
  });

  test.each([
    ['an error of the contract', new DarkroomError('IMAGE_NOT_FOUND', 'There is no image x.')],
    ['a defect', new TypeError('secret')],
  ])(
    'whose handler throws %s is answered as connect answers it, and logged once',
    async (_, error) => {
      let calls = 0;
      const server = await startAnswering(() => {
        calls += 1;
        throw error;
      });
      const [direct, left] = await bothAnswers(server, way, [bodyOf(way, 'a')]);
      expect(direct).toEqual(left);
      expect(calls).toBe(2);
      await expect
        .poll(() => server.log.filter(({ method }) => String(method).endsWith('/GetImage')))
        .toHaveLength(2);
      const [one, other] = server.log.filter(({ code }) => code !== undefined);
      expect(one).toMatchObject({ code: other?.['code'], msg: other?.['msg'] });
    },
  );

  test('whose answer cannot be written down is answered as connect answers it', async () => {
    const server = await startAnswering(() => ({ image: { createTime: timestampFromMs(1e18) } }));
    const [direct, left] = await bothAnswers(server, way, [bodyOf(way, 'a')]);
    expect(direct).toEqual(left);
  });

  test('is answered directly, and the same one differently written is not', async () => {
    const contexts: boolean[] = [];
    const server = await startAnswering((_, context) => {
      contexts.push(context instanceof DirectCallContext);
      return {};
    });
    for (const contentType of [way.direct, way.left]) {
      await call(way, server.url, { contentType, headers: {}, parts: [bodyOf(way, 'a')] });
    }
    expect(contexts).toEqual([true, false]);
  });

  test('tells its handler when its client is gone', async () => {
    const called = Promise.withResolvers<AbortSignal>();
    const server = await startAnswering(async (_, context) => {
      called.resolve(context.signal);
      await once(context.signal, 'abort');
      throw context.signal.reason;
    });
    const session = http2.connect(server.url);
    onTestFinished(() => session.destroy());
    const headers = { ':method': 'POST', ':path': path, 'content-type': way.direct };
    const stream = session.request(headers);
    stream.on('error', () => {});
    stream.end(bodyOf(way, 'a'));
    const signal = await called.promise;
    expect(signal.aborted).toBe(false);
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await expect.poll(() => signal.aborted).toBe(true);
    await expect
      .poll(() => server.accessLine('darkroom.v1.ImageService/GetImage'))
      .toMatchObject({ code: 'CANCELED' });
  });
});

/** Far less than the time that a silent client is given. */
const soon = { timeout: 10_000 };

test.each([
  ['a length of 1 GiB', Buffer.from([0, 0x40, 0, 0, 0])],
  ['a message that cannot be decoded', enveloped(Buffer.from([0xff]))],
  ['a second message', Buffer.concat([enveloped(Buffer.alloc(0)), enveloped(Buffer.alloc(0))])],
])('over gRPC %s is refused at once, though the client sends no end', soon, async (_, body) => {
  const server = await startAnswering();
  const session = http2.connect(server.url);
  onTestFinished(() => session.destroy());
  const headers = { ':method': 'POST', ':path': path, 'content-type': 'application/grpc' };
  const stream = session.request(headers);
  stream.resume();
  stream.write(body);
  const [trailers] = (await once(stream, 'trailers')) as [http2.IncomingHttpHeaders];
  expect(Number(trailers['grpc-status'])).toBeGreaterThan(0);
});

test('however a call is cut into packets, it is answered as connect answers it', async () => {
  const server = await startAnswering();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...ways),
      fc.string({ maxLength: 200 }),
      fc.array(fc.nat(300), { maxLength: 4 }),
      fc.uint8Array({ maxLength: 3 }),
      async (way, imageId, cuts, surplus) => {
        const body = Buffer.concat([bodyOf(way, imageId), surplus]);
        const ends = [...cuts.map((cut) => Math.min(cut, body.byteLength)), body.byteLength];
        let start = 0;
        const parts = ends
          .toSorted((a, b) => a - b)
          .map((end) => {
            const part = body.subarray(start, end);
            start = end;
            return part;
          });
        const [direct, left] = await bothAnswers(server, way, parts);
        expect(direct).toEqual(left);
      },
    ),
    { numRuns: 60 },
  );
});

function acceptedAs(name: string): Record<string, string> {
  return { 'accept-encoding': name, 'grpc-accept-encoding': name };
}

function compressedAs(name: string): Record<string, string> {
  return { 'content-encoding': name, 'grpc-encoding': name };
}
