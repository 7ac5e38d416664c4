import { constants } from 'node:http2';
import { once } from 'node:events';
import { setTimeout as after } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  callHead,
  flags,
  frame,
  frameTypes,
  type RawConnection,
} from '../../../bench/wire/http2-frames.ts';
import { begin, connectHttp2, get, listen, raw } from './counting-listener.ts';
import { patience } from '../../support/held-upload.ts';

const ping = frame(frameTypes.ping, 0, 0, Buffer.alloc(8));
const settings = frame(frameTypes.settings, 0, 0, Buffer.of(0, 4, 0, 0, 0, 9));

function countOf({ types }: RawConnection, type: number): number {
  return types.filter((one) => one === type).length;
}

/** Sends frames one by one, each when the one before is answered. */
async function sendAnswered(
  connection: RawConnection,
  bytes: Buffer,
  answer: number,
  count: number,
): Promise<void> {
  for (let sent = 0; sent < count && !connection.socket.destroyed; sent += 1) {
    const before = countOf(connection, answer);
    connection.socket.write(bytes);
    await expect
      .poll(() => countOf(connection, answer) > before || connection.socket.destroyed, {
        interval: 1,
      })
      .toBe(true);
  }
}

describe('more frames than a connection may send in a second', () => {
  it.each([
    ['PING', ping, frameTypes.ping, 'too_many_pings'],
    ['SETTINGS', settings, frameTypes.settings, 'too_many_settings'],
  ])(
    'end it with ENHANCE_YOUR_CALM, though their answers are taken: %s',
    async (name, bytes, answer, text) => {
      const listener = await listen({ maxPingsPerSecond: 10, maxSettingsPerSecond: 10 });
      const other = connectHttp2(listener);
      expect(await get(other)).toBe('hello');
      const flood = raw(listener, begin);
      await sendAnswered(flood, bytes, answer, 1000);
      await flood.closed;
      expect(flood.goaways[0]).toMatchObject({ code: constants.NGHTTP2_ENHANCE_YOUR_CALM, text });
      expect(flood.goaways.map(({ code }) => code)).not.toContain(constants.NGHTTP2_NO_ERROR);
      expect(listener.log.join('')).toContain(`it sent too many frames of the type ${name}`);
      expect(await get(other)).toBe('hello');
    },
  );
});

describe('a connection is kept that sends', () => {
  it('as many as it may, second by second', async () => {
    const listener = await listen({ maxPingsPerSecond: 10, maxSettingsPerSecond: 10 });
    const client = raw(listener, begin);
    for (let round = 0; round < 2; round += 1) {
      client.socket.write(Buffer.concat(Array<Buffer>(9).fill(ping)));
      await expect.poll(() => countOf(client, frameTypes.ping), patience).toBe(9 * (round + 1));
      // What counts is the time.
      await after(1010);
    }
    expect(client.goaways).toEqual([]);
  });

  it('a PING with whatever it is sent, as clients of gRPC do that measure the line', async () => {
    const listener = await listen({ maxPingsPerSecond: 10 });
    const client = raw(listener, begin);
    const head = callHead('/answered');
    for (let call = 0; call < 100; call += 1) {
      const whole = frame(
        frameTypes.headers,
        flags.endHeaders + flags.endStream,
        1 + 2 * call,
        head,
      );
      client.socket.write(whole);
      await expect
        .poll(() => countOf(client, frameTypes.headers), { ...patience, interval: 1 })
        .toBeGreaterThan(call);
      client.socket.write(ping);
    }
    await expect.poll(() => countOf(client, frameTypes.ping), patience).toBe(100);
    expect(client.goaways).toEqual([]);
  });
});

it('a client that pings too often is told so as gRPC expects it', async () => {
  const listener = await listen({ maxPingsPerSecond: 10 });
  const session = connectHttp2(listener);
  await once(session, 'connect');
  const goaway = once(session, 'goaway');
  const pings = setInterval(() => !session.destroyed && session.ping(() => {}), 1);
  const [code, , data] = (await goaway) as [number, number, Buffer];
  clearInterval(pings);
  expect([code, String(data)]).toEqual([constants.NGHTTP2_ENHANCE_YOUR_CALM, 'too_many_pings']);
});
