import { callHead, frame, frameTypes, magic, reset } from '../../bench/wire/http2-frames.ts';
import type { Random } from '../../chaos/random.ts';
import { mutated } from '../mutation.ts';
import { sendRaw } from '../raw-client.ts';
import { allMethods, pathOfMethod, type FuzzCase } from '../target.ts';

/** A connection of HTTP/2 whose frames are of any type, length, stream and content, and sound ones between them. */
export const http2Frames: FuzzCase = ({ port }, random) => {
  const sound = [magic, frame(frameTypes.settings, 0, 0)];
  const frames = Array.from({ length: random.int(1, 12) }, (_, n) => anyFrame(random, 1 + 2 * n));
  const all = Buffer.concat([...sound, ...frames]);
  return sendRaw(port, 'frames of HTTP/2', random.chance(0.5) ? all : mutated(random, all));
};

function anyFrame(random: Random, next: number): Buffer {
  const stream = random.weighted([
    [4, next],
    [1, 0],
    [1, random.int(0, 2 ** 31 - 1)],
    [1, random.int(0, 20)],
  ]);
  if (random.chance(0.3)) {
    const head = callHead(pathOfMethod(random.pick(allMethods)));
    return Buffer.concat([
      frame(frameTypes.headers, 4, stream, random.chance(0.5) ? head : mutated(random, head)),
      frame(frameTypes.data, random.int(0, 1), stream, random.bytes(random.int(0, 50))),
      ...(random.chance(0.3) ? [reset(stream, random.int(0, 14))] : []),
    ]);
  }
  const type = random.chance(0.9) ? random.int(0, 9) : random.int(0, 255);
  return frame(type, random.int(0, 255), stream, random.bytes(random.int(0, 60)));
}
