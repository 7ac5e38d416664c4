import { createCipheriv, createHash } from 'node:crypto';

/** Numbers that look random and are the same for the same seed, on every machine. */
export class Random {
  readonly #seed: string;
  /** The state of sfc32, a small generator that passes PractRand. */
  readonly #state: Uint32Array;

  constructor(seed: string) {
    this.#seed = seed;
    const digest = createHash('sha256').update(seed).digest();
    this.#state = Uint32Array.from([0, 4, 8, 12], (offset) => digest.readUInt32LE(offset));
  }

  /** A generator of its own, so that what one part draws does not depend on what others drew. */
  fork(label: string): Random {
    return new Random(`${this.#seed}/${label}`);
  }

  /** From 0 up to, and not including, 1. */
  next(): number {
    const state = this.#state;
    const [a = 0, b = 0, c = 0, count = 0] = state;
    const sum = (a + b + count) >>> 0;
    state[0] = b ^ (b >>> 9);
    state[1] = c + (c << 3);
    state[2] = ((c << 21) | (c >>> 11)) + sum;
    state[3] = count + 1;
    return sum / 2 ** 32;
  }

  /** A whole number from `least` to `most`, both included. */
  int(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }

  /** True in `probability` of all cases. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of the items. @throws RangeError if there are none. */
  pick<T>(items: readonly T[]): T {
    return this.weighted(items.map((item) => [1, item] as const));
  }

  /** One of the items, in proportion to their weights. @throws RangeError if there are none. */
  weighted<T>(items: readonly (readonly [weight: number, item: T])[]): T {
    let left = this.next() * items.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, item] of items) {
      left -= weight;
      if (left < 0) {
        return item;
      }
    }
    throw new RangeError('nothing to draw from');
  }

  /** So many bytes that no compression and no zero page is found in. */
  bytes(length: number): Buffer {
    const key = Buffer.alloc(16);
    for (let index = 0; index < 16; index++) {
      key[index] = this.int(0, 255);
    }
    return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
  }
}
