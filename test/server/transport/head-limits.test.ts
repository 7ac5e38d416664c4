import { constants } from 'node:http2';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { callHead, flags, frame, frameTypes, literal } from '../../../bench/wire/http2-frames.ts';
import { patience } from '../../support/held-upload.ts';
import { begin, connect, connectHttp2, get, listen, raw, told } from './counting-listener.ts';

const { NGHTTP2_ENHANCE_YOUR_CALM } = constants;
const KiB = 1024;

/** A header that HPACK keeps nothing of. */
function header(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.of(0), literal(name), literal(value)]);
}

const headOfAnswered = callHead('/answered');

/** A whole request with these headers besides, in as many frames as it takes. */
function request(stream: number, headers: Buffer): Buffer {
  const block = Buffer.concat([headOfAnswered, headers]);
  const parts = [];
  for (let at = 0; at < block.length; at += 16 * KiB) {
    const isFirst = at === 0;
    const isLast = at + 16 * KiB >= block.length;
    parts.push(
      frame(
        isFirst ? frameTypes.headers : frameTypes.continuation,
        (isLast ? flags.endHeaders : 0) + (isFirst ? flags.endStream : 0),
        stream,
        block.subarray(at, at + 16 * KiB),
      ),
    );
  }
  return Buffer.concat(parts);
}

function headers(count: number, valueBytes: number): Buffer {
  return Buffer.concat(
    Array.from({ length: count }, (_, i) => header(`x-${i}`, 'v'.repeat(valueBytes))),
  );
}

describe.each([
  ['too large', { maxHeaderBytes: 8 * KiB }, headers(90, 100)],
  ['of too many headers', { maxHeaders: 16 }, headers(17, 1)],
])('a head that is %s', (_, limits, tooMuch) => {
  it('ends its call over HTTP/2 with ENHANCE_YOUR_CALM, and nothing else', async () => {
    const listener = await listen(limits);
    const other = connectHttp2(listener);
    const client = raw(listener, Buffer.concat([begin, request(1, tooMuch)]));
    await expect
      .poll(() => client.resets, patience)
      .toEqual([{ stream: 1, code: NGHTTP2_ENHANCE_YOUR_CALM }]);
    client.socket.write(request(3, headers(4, 10)));
    await expect.poll(() => client.types, patience).toContain(frameTypes.data);
    expect(listener.handled()).toBe(1);
    expect(await get(other)).toBe('hello');
  });

  it('is answered over HTTP/1.1 with 431', async () => {
    const listener = await listen(limits);
    const other = connectHttp2(listener);
    const socket = connect(listener);
    const lines =
      'maxHeaders' in limits
        ? Array.from({ length: 17 }, (__, i) => `x-${i}: v\r\n`).join('')
        : `x-a: ${'v'.repeat(9 * KiB)}\r\n`;
    socket.write(`GET /answered HTTP/1.1\r\nhost: localhost\r\n${lines}\r\n`);
    expect(await told(socket)).toMatch(
      /^HTTP\/1\.1 431 Request Header Fields Too Large\r\n[\s\S]*connection: close/i,
    );
    expect(listener.handled()).toBe(0);
    expect(await get(other)).toBe('hello');
  });
});

it('a client of HTTP/2 is told how large a head may be', async () => {
  const session = connectHttp2(await listen({ maxHeaderBytes: 12_345 }));
  const [settings] = (await once(session, 'remoteSettings')) as [{ maxHeaderListSize: number }];
  expect(settings.maxHeaderListSize).toBe(12_345);
});

it('a head that its client does not end, in CONTINUATION after CONTINUATION, ends the connection', async () => {
  const listener = await listen();
  const other = connectHttp2(listener);
  const client = raw(
    listener,
    Buffer.concat([
      begin,
      frame(frameTypes.headers, 0, 1, headOfAnswered),
      ...Array.from({ length: 100 }, () => frame(frameTypes.continuation, 0, 1)),
    ]),
  );
  await client.closed;
  expect(client.goaways.map(({ code }) => code)).toEqual([NGHTTP2_ENHANCE_YOUR_CALM]);
  expect(await get(other)).toBe('hello');
});

it('a head that its client does not go on with rests, and makes room', async () => {
  const listener = await listen({ idleTimeoutMs: 200 });
  const client = raw(
    listener,
    Buffer.concat([begin, frame(frameTypes.headers, 0, 1, headOfAnswered)]),
  );
  await client.closed;
  expect(listener.handled()).toBe(0);
});

it('what HTTP/1.1 says beside the pieces of a body is bounded, and answered with 413', async () => {
  const listener = await listen();
  const socket = connect(listener);
  socket.write(
    'POST /open HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n' +
      `1;${'a'.repeat(20 * KiB)}\r\nx\r\n`,
  );
  expect(await told(socket)).toMatch(/^HTTP\/1\.1 413 Payload Too Large\r\n/);
  expect(await get(connectHttp2(listener))).toBe('hello');
});

it('trailers are bounded as heads are, over HTTP/2', async () => {
  const listener = await listen({ maxHeaders: 16 });
  const opened = frame(frameTypes.headers, flags.endHeaders, 1, callHead('/open'));
  const trailers = frame(
    frameTypes.headers,
    flags.endHeaders + flags.endStream,
    1,
    headers(40, 10),
  );
  const client = raw(listener, Buffer.concat([begin, opened, trailers]));
  await expect
    .poll(() => client.resets, patience)
    .toEqual([{ stream: 1, code: NGHTTP2_ENHANCE_YOUR_CALM }]);
  expect(await get(connectHttp2(listener))).toBe('hello');
});
