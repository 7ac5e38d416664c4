import { constants } from 'node:http2';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { callHead, flags, frame, frameTypes } from '../../../bench/wire/http2-frames.ts';
import {
  begin,
  connect,
  connectHttp2,
  get,
  listen,
  raw,
  streams,
  told,
  type CountingListener,
} from './counting-listener.ts';
import { patience } from '../../support/held-upload.ts';

const [us, them, others] = ['127.0.0.1', '127.0.0.2', '127.0.0.3'];
const openHead = callHead('/open');

function opened(stream: number): Buffer {
  return frame(frameTypes.headers, flags.endHeaders, stream, openHead);
}

/** Asks over HTTP/1.1 on a connection of its own. */
function ask(listener: CountingListener, path: string, from?: string): Promise<string> {
  const socket = connect(listener, from);
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
  return told(socket);
}

describe('one request more than may be open', () => {
  it.each([
    ['of one address', { maxOpenRequestsPerPeer: 20 }, 'DARKROOM_MAX_OPEN_REQUESTS_PER_PEER'],
    ['in all', { maxOpenRequests: 20 }, 'DARKROOM_MAX_OPEN_REQUESTS'],
  ])('is refused in the words of its protocol: %s', async (_, limits, setting) => {
    const listener = await listen(limits);
    const holders = [raw(listener, begin), raw(listener, begin)];
    holders.forEach(({ socket }) => socket.write(streams(10, opened)));
    await expect.poll(() => listener.open(), patience).toBe(20);

    const more = raw(listener, Buffer.concat([begin, streams(3, opened)]));
    await expect
      .poll(() => more.resets, patience)
      .toEqual([1, 3, 5].map((stream) => ({ stream, code: constants.NGHTTP2_REFUSED_STREAM })));
    expect(more.socket.destroyed).toBe(false);
    const answer = await ask(listener, '/answered');
    expect(answer).toMatch(/^HTTP\/1\.1 503 Service Unavailable\r\n[\s\S]*retry-after: 1\r\n/i);
    const body = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))) as unknown;
    expect(body).toMatchObject({ code: 'UNAVAILABLE', reason: 'TOO_MANY_OPEN_REQUESTS' });
    expect(answer).toMatch(new RegExp(`raise ${setting}"`));
    expect(listener.handled()).toBe(20);
    expect(listener.log.filter((line) => line.includes(`(${setting})`))).toHaveLength(1);
    if ('maxOpenRequestsPerPeer' in limits) {
      expect(await ask(listener, '/answered', them)).toContain('hello');
      expect(await get(connectHttp2(listener, others))).toBe('hello');
    }

    // A place that is free again is given away at once.
    holders[0]!.socket.destroy();
    await expect.poll(() => listener.open(), patience).toBe(10);
    expect(await get(connectHttp2(listener, us))).toBe('hello');
  });
});

it('gives back the place of each request that ends, however it does', async () => {
  const listener = await listen({ maxOpenRequestsPerPeer: 3 });
  for (let round = 0; round < 5; round += 1) {
    const session = connectHttp2(listener);
    const cancelled = session.request({ ':path': '/open' }).on('error', () => {});
    const broken = connectHttp2(listener);
    broken.request({ ':path': '/open' }).on('error', () => {});
    const socket = connect(listener);
    socket.write('GET /open HTTP/1.1\r\nhost: localhost\r\n\r\n');
    await expect.poll(() => listener.open(), patience).toBe(3);
    expect(await ask(listener, '/answered')).toContain('TOO_MANY_OPEN_REQUESTS');
    cancelled.close(constants.NGHTTP2_CANCEL);
    broken.destroy();
    socket.resetAndDestroy();
    await expect.poll(() => listener.open(), patience).toBe(0);
    expect(await get(session)).toBe('hello');
  }
});

describe('more requests than a connection may have open', () => {
  it('are refused as streams, and those that are open go on', async () => {
    const listener = await listen({ maxConcurrentStreams: 8 });
    const session = connectHttp2(listener);
    const [settings] = (await once(session, 'remoteSettings')) as [
      { maxConcurrentStreams: number },
    ];
    expect(settings.maxConcurrentStreams).toBe(8);
    const client = raw(listener, begin);
    // By its acknowledgement of the service's SETTINGS it has promised to keep to them.
    await expect.poll(() => client.types, patience).toContain(frameTypes.settings);
    client.socket.write(streams(12, opened));
    await expect.poll(() => client.resets.length, patience).toBe(4);
    expect(client.resets.map(({ stream }) => stream)).toEqual([17, 19, 21, 23]);
    expect(new Set(client.resets.map(({ code }) => code))).toEqual(
      new Set([constants.NGHTTP2_REFUSED_STREAM]),
    );
    expect(listener.handled()).toBe(8);
    expect(await get(session)).toBe('hello');
  });

  it('are refused over HTTP/1.1 where they wait for their turn, after those before them', async () => {
    const listener = await listen({ maxConcurrentStreams: 4 });
    const other = connect(listener);
    const socket = connect(listener);
    socket.write('GET /open HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(7));
    const answers = told(socket);
    for (let turn = 1; turn <= 4; turn += 1) {
      await expect.poll(() => listener.handled(), patience).toBe(turn);
      listener.answer();
    }
    const statuses = [...(await answers).matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => code);
    expect(statuses).toEqual(['200', '200', '200', '200', '503']);
    expect(await answers).toMatch(/raise DARKROOM_MAX_CONCURRENT_STREAMS"/);
    expect(listener.handled()).toBe(4);
    other.write('GET /answered HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n');
    expect(await told(other)).toContain('hello');
  });
});
