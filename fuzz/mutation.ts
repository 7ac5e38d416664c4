import type { Random } from '../chaos/random.ts';

/** Bytes at which much code turns: lengths, signs, ends of varints, and what texts are quoted by. */
const interesting = [0, 1, 0x0a, 0x0d, 0x22, 0x5c, 0x7f, 0x80, 0xc0, 0xed, 0xfe, 0xff];

/** The bytes with something wrong: a few changed, cut, doubled, put in, taken out or exchanged. */
export function mutated(random: Random, bytes: Buffer): Buffer {
  let all: Buffer = Buffer.from(bytes);
  for (let times = random.int(1, 4); times > 0; times -= 1) {
    all = mutatedOnce(random, all);
  }
  return all;
}

function mutatedOnce(random: Random, bytes: Buffer): Buffer {
  const at = random.int(0, bytes.length);
  const end = Math.min(bytes.length, at + random.int(1, 16));
  switch (random.int(0, 6)) {
    case 0: {
      const changed = Buffer.from(bytes);
      if (at < changed.length) {
        changed[at] = (changed[at] ?? 0) ^ (1 << random.int(0, 7));
      }
      return changed;
    }
    case 1: {
      const changed = Buffer.from(bytes);
      if (at < changed.length) {
        changed[at] = random.pick(interesting);
      }
      return changed;
    }
    case 2:
      return bytes.subarray(0, at);
    case 3:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(end)]);
    case 4:
      return Buffer.concat([bytes.subarray(0, end), bytes.subarray(at)]);
    case 5:
      return Buffer.concat([
        bytes.subarray(0, at),
        random.bytes(random.int(1, 8)),
        bytes.subarray(at),
      ]);
    default:
      return Buffer.concat([bytes.subarray(at), bytes.subarray(0, at)]);
  }
}
