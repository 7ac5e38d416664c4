import { flags, frame, frameTypes, literal } from '../../wire/http2-frames.ts';
import { begin, call, calls, getImage, head } from './calls.ts';
import { againAndAgain, floodAddress, hold, withoutPause, type Flood } from './flood.ts';
import { openRaw } from '../../wire/http2-frames.ts';

const KiB = 1024;

/** So many of a frame as are read in one go. */
function many(bytes: Uint8Array): Buffer {
  return Buffer.concat(Array<Uint8Array>(Math.ceil((64 * KiB) / bytes.byteLength)).fill(bytes));
}

function flooding(bytes: Uint8Array, first: Uint8Array = begin): Flood {
  const again = many(bytes);
  return withoutPause(first, () => again);
}

const one = Buffer.of(0, 0, 0, 1);
const opened = Buffer.concat([begin, head('ImageService/UploadImage', 1)]);
const header = Buffer.concat([Buffer.of(0), literal('a'), literal('b'.repeat(100))]);
/** 70 KiB of headers, in HPACK without its table. */
const manyHeaders = Buffer.concat(Array<Buffer>(680).fill(header));

/** A head in as many frames as it takes. */
function longHead(stream: number): Buffer {
  const parts = [];
  for (let at = 0; at < manyHeaders.byteLength; at += 16 * KiB) {
    const isLast = at + 16 * KiB >= manyHeaders.byteLength;
    parts.push(
      frame(
        at === 0 ? frameTypes.headers : frameTypes.continuation,
        isLast ? flags.endHeaders : 0,
        stream,
        manyHeaders.subarray(at, at + 16 * KiB),
      ),
    );
  }
  return Buffer.concat(parts);
}

/** Of frames of HTTP/2 and of heads. */
export const frameFloods: Readonly<Record<string, Flood>> = {
  PING: flooding(frame(frameTypes.ping, 0, 0, Buffer.alloc(8))),
  SETTINGS: flooding(frame(frameTypes.settings, 0, 0, Buffer.of(0, 4, 0, 0, 0, 9))),
  PRIORITY: flooding(frame(frameTypes.priority, 0, 1, Buffer.of(0, 0, 0, 0, 16))),
  'frames of no known type': flooding(frame(0x77, 0, 0)),
  WINDOW_UPDATE: flooding(frame(frameTypes.windowUpdate, 0, 0, one)),
  'empty DATA': flooding(frame(frameTypes.data, 0, 1), opened),
  'CONTINUATION without an end': againAndAgain(() =>
    Buffer.concat([
      begin,
      frame(frameTypes.headers, 0, 1, header),
      ...Array.from({ length: 1000 }, () => frame(frameTypes.continuation, 0, 1, header)),
    ]),
  ),
  'heads of 70 KiB, HTTP/2': withoutPause(begin, (time) => longHead(1 + 2 * time)),
  'heads of 70 KiB, HTTP/1.1': againAndAgain(() =>
    Buffer.from(`GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-a: ${'b'.repeat(70 * KiB)}\r\n\r\n`),
  ),
  'answers that nobody takes: calls with a window of 0': async (target, isOver) => {
    const zeroWindow = frame(frameTypes.settings, 0, 0, Buffer.of(0, 4, 0, 0, 0, 0));
    let count = 0;
    for (; count < 64 && !isOver(); count += 1) {
      const asked = calls(256, (stream) => call('ImageService/GetImage', stream, getImage(target)));
      hold(openRaw(target.port, Buffer.concat([begin, zeroWindow, asked]), floodAddress).socket);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return count;
  },
};
