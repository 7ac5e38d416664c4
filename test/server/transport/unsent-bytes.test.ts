import { constants } from 'node:http2';
import { expect, it } from 'vitest';
import { callHead, flags, frame, frameTypes } from '../../../bench/wire/http2-frames.ts';
import { patience } from '../../support/held-upload.ts';
import { begin, connectHttp2, get, listen, raw } from './counting-listener.ts';

const MiB = 1024 * 1024;
const zeroWindow = frame(frameTypes.settings, 0, 0, Buffer.of(0, 4, 0, 0, 0, 0));

function asked(stream: number, path: string): Buffer {
  return frame(frameTypes.headers, flags.endHeaders + flags.endStream, stream, callHead(path));
}

it('a client that takes nothing of its answers is refused more of them, and others are answered', async () => {
  let handled = 0;
  const listener = await listen({
    maxUnsentBytes: 2 * MiB,
    handler(request, response) {
      handled += 1;
      response.end(request.url === '/answered' ? 'hello' : Buffer.alloc(MiB));
    },
  });
  const other = connectHttp2(listener);
  const client = raw(listener, Buffer.concat([begin, zeroWindow]));
  for (let call = 0; call < 8; call += 1) {
    client.socket.write(asked(1 + 2 * call, '/large'));
    await expect.poll(() => handled + client.resets.length, patience).toBe(call + 1);
  }
  expect(handled).toBeLessThanOrEqual(4);
  expect(new Set(client.resets.map(({ code }) => code))).toEqual(
    new Set([constants.NGHTTP2_ENHANCE_YOUR_CALM]),
  );
  expect(await get(other)).toBe('hello');
});
