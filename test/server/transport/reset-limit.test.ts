import * as http2 from 'node:http2';
import { once } from 'node:events';
import { setTimeout as after } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  callHead,
  flags,
  frame,
  frameTypes,
  literal,
  reset,
} from '../../../bench/wire/http2-frames.ts';
import { begin, connectHttp2 as connect, get, listen, raw, streams } from './counting-listener.ts';

const {
  NGHTTP2_CANCEL,
  NGHTTP2_ENHANCE_YOUR_CALM,
  NGHTTP2_NO_ERROR,
  NGHTTP2_PROTOCOL_ERROR,
  NGHTTP2_REFUSED_STREAM,
} = http2.constants;

const head = callHead('/open');

/** A call that is whole, and given up. */
function cancelled(stream: number, code: number): Buffer {
  const whole = frame(frameTypes.headers, flags.endHeaders + flags.endStream, stream, head);
  return Buffer.concat([whole, reset(stream, code)]);
}

/** A call of whose body some has come, and given up. */
function broken(stream: number): Buffer {
  return Buffer.concat([
    frame(frameTypes.headers, flags.endHeaders, stream, head),
    frame(frameTypes.data, 0, stream, Buffer.alloc(5)),
    reset(stream, NGHTTP2_CANCEL),
  ]);
}

describe('20,000 calls that are begun and given up at once', () => {
  it.each([
    ['with CANCEL', (stream: number) => cancelled(stream, NGHTTP2_CANCEL)],
    ['with NO_ERROR', (stream: number) => cancelled(stream, NGHTTP2_NO_ERROR)],
    ['in the middle of their bodies', broken],
  ])('end their connection, and are not handled: %s', async (_, call) => {
    const listener = await listen();
    const other = connect(listener);
    const attack = raw(listener, Buffer.concat([begin, streams(20_000, call)]));
    await attack.closed;
    expect(attack.goaways).toMatchObject([{ code: NGHTTP2_ENHANCE_YOUR_CALM }]);
    expect(listener.handled()).toBe(0);
    expect(listener.log.join('')).toContain('it gave up too many calls that it had just begun');
    expect(await get(other)).toBe('hello');
  });

  it('end their connection also where the service had begun with each', async () => {
    const listener = await listen();
    const attack = raw(listener, begin);
    let begun = 0;
    while (!attack.socket.destroyed && begun < 20_000) {
      const first = 1 + 2 * begun;
      const open = (stream: number): Buffer =>
        frame(frameTypes.headers, flags.endHeaders + flags.endStream, stream, head);
      attack.socket.write(streams(100, open, first));
      begun += 100;
      await expect.poll(() => listener.handled() >= begun || attack.socket.destroyed).toBe(true);
      attack.socket.write(streams(100, (stream) => reset(stream, NGHTTP2_CANCEL), first));
    }
    await attack.closed;
    expect(attack.goaways).toMatchObject([{ code: NGHTTP2_ENHANCE_YOUR_CALM }]);
    expect(listener.handled()).toBeLessThan(2000);
  });

  it('end their connection also where faults of the client have the service reset them', async () => {
    const listener = await listen();
    const attack = raw(listener, begin);
    // Says that one byte will come, and sends five.
    const headOfOneByte = Buffer.concat([head, Buffer.from('0f0d', 'hex'), literal('1')]);
    let begun = 0;
    while (!attack.socket.destroyed && begun < 20_000) {
      const first = 1 + 2 * begun;
      const open = (stream: number): Buffer =>
        frame(frameTypes.headers, flags.endHeaders, stream, headOfOneByte);
      attack.socket.write(streams(50, open, first));
      begun += 50;
      await expect.poll(() => listener.handled() >= begun || attack.socket.destroyed).toBe(true);
      const end = (stream: number): Buffer =>
        frame(frameTypes.data, flags.endStream, stream, Buffer.alloc(5));
      attack.socket.write(streams(50, end, first));
    }
    await attack.closed;
    expect(attack.goaways.at(-1)?.code).not.toBe(NGHTTP2_NO_ERROR);
    expect(listener.handled()).toBeLessThan(2000);
  });
});

describe('a connection is kept', () => {
  it('of a client whose calls are answered, however many they are', async () => {
    const listener = await listen();
    const session = connect(listener);
    for (let round = 0; round < 20; round += 1) {
      const answers = await Promise.all(Array.from({ length: 200 }, () => get(session)));
      expect(answers.every((body) => body === 'hello')).toBe(true);
    }
    expect(listener.log).toEqual([]);
  });

  it('of a client that cancels all it has open, and does so again', async () => {
    const listener = await listen();
    const session = connect(listener);
    await once(session, 'remoteSettings');
    for (let round = 1; round <= 2; round += 1) {
      const calls = Array.from({ length: 256 }, () => session.request({ ':path': '/open' }));
      await expect.poll(() => listener.handled()).toBe(256 * round);
      const closed = calls.map((call) => once(call, 'close'));
      calls.forEach((call) => call.close(NGHTTP2_CANCEL));
      await Promise.all(closed);
    }
    expect(await get(session)).toBe('hello');
  });

  it('of a client that cancels calls that are older, as watches are', async () => {
    const listener = await listen();
    const session = connect(listener);
    await once(session, 'remoteSettings');
    for (let round = 1; round <= 3; round += 1) {
      const calls = Array.from({ length: 250 }, () => session.request({ ':path': '/open' }));
      await expect.poll(() => listener.handled()).toBe(250 * round);
      // What counts is their age.
      await after(1010);
      const closed = calls.map((call) => once(call, 'close'));
      calls.forEach((call) => call.close(NGHTTP2_CANCEL));
      await Promise.all(closed);
    }
    expect(await get(session)).toBe('hello');
  });
});

describe('a flood of frames that cost their sender nothing ends the connection', () => {
  const open = frame(frameTypes.headers, flags.endHeaders, 1, head);
  const unfinished = frame(frameTypes.headers, 0, 1, head);
  const longHeader = Buffer.concat([Buffer.of(0), literal('a'), literal('b'.repeat(100))]);

  it.each([
    ['PING', begin, frame(frameTypes.ping, 0, 0, Buffer.alloc(8))],
    [
      'answers to PING that were not asked for',
      begin,
      frame(frameTypes.ping, flags.ack, 0, Buffer.alloc(8)),
    ],
    ['SETTINGS', begin, frame(frameTypes.settings, 0, 0, Buffer.of(0, 4, 0, 0, 0, 9))],
    ['SETTINGS with many entries', begin, frame(frameTypes.settings, 0, 0, Buffer.alloc(6 * 100))],
    ['PRIORITY', begin, frame(frameTypes.priority, 0, 1, Buffer.of(0, 0, 0, 0, 16))],
    ['frames of no known type', begin, frame(0x77, 0, 0)],
    ['empty DATA', Buffer.concat([begin, open]), frame(frameTypes.data, 0, 1)],
    [
      'DATA of padding alone',
      Buffer.concat([begin, open]),
      frame(frameTypes.data, flags.padded, 1, Buffer.of(0)),
    ],
    [
      'empty CONTINUATION',
      Buffer.concat([begin, unfinished]),
      frame(frameTypes.continuation, 0, 1),
    ],
    [
      'CONTINUATION without an end',
      Buffer.concat([begin, unfinished]),
      frame(frameTypes.continuation, 0, 1, longHeader),
    ],
    ['trailers after trailers', begin, open],
  ])('%s', async (name, first, again) => {
    const listener = await listen();
    const other = connect(listener);
    const flood = raw(listener, Buffer.concat([first, ...Array<Buffer>(50_000).fill(again)]));
    await flood.closed;
    const code = name.startsWith('answers') ? NGHTTP2_PROTOCOL_ERROR : NGHTTP2_ENHANCE_YOUR_CALM;
    // Where the client is still sending, the answer may be lost to it.
    expect(flood.goaways.filter((goaway) => goaway.code !== code)).toEqual([]);
    expect(await get(other)).toBe('hello');
  });

  it('calls beyond those that may be open at once', async () => {
    const listener = await listen();
    const flood = raw(
      listener,
      Buffer.concat([
        begin,
        streams(20_000, (stream) => frame(frameTypes.headers, flags.endHeaders, stream, head)),
      ]),
    );
    await flood.closed;
    expect(flood.goaways.filter(({ code }) => code !== NGHTTP2_ENHANCE_YOUR_CALM)).toEqual([]);
    expect(flood.resets[0]?.code).toBe(NGHTTP2_REFUSED_STREAM);
    expect(listener.handled()).toBeLessThanOrEqual(256);
  });
});

describe('after a flood', () => {
  const flood = Buffer.concat([begin, streams(2000, (one) => cancelled(one, NGHTTP2_CANCEL))]);
  const pings = frame(frameTypes.ping, 0, 0, Buffer.alloc(8));

  it.each([
    ['calls given up', flood],
    ['PING', Buffer.concat([begin, ...Array<Buffer>(20_000).fill(pings)])],
  ])(
    'connections of its address are served one by one, those of others at once: %s',
    async (_, bytes) => {
      const pauseMs = 1500;
      const listener = await listen({ floodPauseMs: pauseMs });
      const known = connect(listener);
      expect(await get(known)).toBe('hello');
      const began = performance.now();
      await raw(listener, bytes).closed;
      const order: string[] = [];
      const served = async (name: string, from?: string): Promise<number> => {
        expect(await get(connect(listener, from))).toBe('hello');
        order.push(name);
        return performance.now() - began;
      };
      const first = served('first');
      const second = served('second');
      await served('other', '127.0.0.2');
      expect(await get(known)).toBe('hello');
      expect(order).toEqual(['other']);
      expect(await first).toBeGreaterThanOrEqual(pauseMs);
      expect(await second).toBeGreaterThanOrEqual(2 * pauseMs);
      expect(order).toEqual(['other', 'first', 'second']);
    },
  );

  it.each([
    ['calls given up', flood],
    [
      'calls beyond those of one connection',
      Buffer.concat([
        begin,
        streams(2000, (stream) => frame(frameTypes.headers, flags.endHeaders, stream, head)),
      ]),
    ],
    ['PING', Buffer.concat([begin, ...Array<Buffer>(20_000).fill(pings)])],
    [
      'frames of no known type',
      Buffer.concat([begin, Buffer.alloc(9 * 50_000, frame(0x77, 0, 0))]),
    ],
    [
      'empty DATA',
      Buffer.concat([
        begin,
        frame(frameTypes.headers, flags.endHeaders, 1, head),
        Buffer.alloc(9 * 50_000, frame(frameTypes.data, 0, 1)),
      ]),
    ],
    [
      'requests that HTTP/1.1 sends ahead',
      Buffer.from('GET /open HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(20_000)),
    ],
  ])('the same again is not even read before its turn: %s', async (_, bytes) => {
    const listener = await listen({ floodPauseMs: 300 });
    const began = performance.now();
    for (let floods = 0; floods < 4; floods += 1) {
      await raw(listener, bytes).closed;
    }
    expect(performance.now() - began).toBeGreaterThanOrEqual(3 * 300);
  });

  it('connections of its address that were never answered end, those with calls go on', async () => {
    const listener = await listen({ floodPauseMs: 100 });
    const silent = raw(listener, begin);
    const answered = connect(listener);
    expect(await get(answered)).toBe('hello');
    const busy = connect(listener);
    const open = busy.request({ ':path': '/open' });
    open.on('error', () => {});
    await expect.poll(() => listener.handled()).toBe(2);
    await raw(listener, flood).closed;
    await silent.closed;
    expect(silent.goaways[0]?.code).toBe(NGHTTP2_NO_ERROR);
    expect(await get(answered)).toBe('hello');
    expect([busy.closed, open.closed]).toEqual([false, false]);
  });

  it('more than 50 of its connections do not wait: they are refused, and the log says why', async () => {
    const listener = await listen({ floodPauseMs: 60_000 });
    await raw(listener, flood).closed;
    const many = Array.from({ length: 51 }, () => raw(listener, begin));
    await Promise.race(many.map(({ closed }) => closed));
    expect(many.flatMap(({ goaways }) => goaways)).toMatchObject([
      {
        lastStream: 0,
        code: NGHTTP2_NO_ERROR,
        text: expect.stringContaining('DARKROOM_FLOOD_PAUSE_MS'),
      },
    ]);
    expect(listener.log.filter((line) => line.includes('DARKROOM_FLOOD_PAUSE_MS'))).toHaveLength(1);
    expect(listener.handled()).toBe(0);
  });

  it('a drain ends those that wait', async () => {
    const listener = await listen({ floodPauseMs: 60_000 });
    await raw(listener, flood).closed;
    const waiting = raw(listener, begin);
    await once(waiting.socket, 'connect');
    await get(connect(listener, '127.0.0.2'));
    listener.drain();
    await waiting.closed;
  });
});
