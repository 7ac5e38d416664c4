import type { DescMethod } from '@bufbuild/protobuf';
import type { Compression } from '@connectrpc/connect/protocol';
import { hasTooManyMarks, JsonMeasure, tooManyMarks } from '../../domain/json-measure.ts';
import type { NodeRequest } from '../transport/node-http.ts';
import { acceptedCompression } from './compression.ts';

/** In which ways JSON comes, by the content type, and the header that says how it is compressed. */
const jsonTypes: readonly {
  readonly contentType: RegExp;
  readonly isEnclosed: boolean;
  readonly encoding: string;
}[] = [
  { contentType: /^application\/json\b/i, isEnclosed: false, encoding: 'content-encoding' },
  {
    contentType: /^application\/connect\+json\b/i,
    isEnclosed: true,
    encoding: 'connect-content-encoding',
  },
  {
    contentType: /^application\/grpc(-web)?\+json\b/i,
    isEnclosed: true,
    encoding: 'grpc-encoding',
  },
];

/** An envelope's head: flags, and the length of what follows in four bytes. */
const headBytes = 5;
const compressedFlag = 1;

/**
 * The body of a call, which fails where the JSON in it has more marks than are read at a stretch: before whoever parses it has
 * all of it. A body of anything else is the same.
 *
 * @param maxBytes of a message, inflated too: one that is larger is refused by who reads it, and is not looked at.
 */
export function measuredJson(
  request: NodeRequest,
  { input }: DescMethod,
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
): AsyncIterable<Uint8Array> {
  const type = jsonTypes.find(({ contentType }) =>
    contentType.test(request.headers['content-type'] ?? ''),
  );
  if (type === undefined) {
    return body;
  }
  const encoding = request.headers[type.encoding];
  const compression = acceptedCompression.find(({ name }) => name === encoding);
  const whole = { field: input.typeName, maxBytes, compression };
  return type.isEnclosed ? ofEnvelopes(body, whole) : ofWhole(body, whole);
}

interface MeasuredBody {
  /** For people: what is wrong where it is too much. */
  readonly field: string;
  readonly maxBytes: number;
  /** Undefined where it is not compressed, or not so that anybody reads it. */
  readonly compression: Compression | undefined;
}

async function* ofWhole(
  body: AsyncIterable<Uint8Array>,
  { field, maxBytes, compression }: MeasuredBody,
): AsyncGenerator<Uint8Array> {
  const measure = new JsonMeasure();
  const held = compression && new HeldMessage(maxBytes, compression, field);
  for await (const part of body) {
    if (held === undefined) {
      measure.take(part);
      if (measure.isTooMuch) {
        throw tooManyMarks(field);
      }
      yield part;
    } else if (held.hold(part)) {
      continue;
    } else {
      yield* held.release();
    }
  }
  if (held !== undefined) {
    await held.assertLittle();
    yield* held.release();
  }
}

/** A message that is compressed, and held back until it is looked at. */
class HeldMessage {
  readonly #maxBytes: number;
  readonly #compression: Compression;
  readonly #field: string;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(maxBytes: number, compression: Compression, field: string) {
    this.#maxBytes = maxBytes;
    this.#compression = compression;
    this.#field = field;
  }

  /** Answers whether it is held: not where there is more than is looked at. */
  hold(part: Uint8Array): boolean {
    this.#parts.push(part);
    this.#bytes += part.byteLength;
    return this.#bytes <= this.#maxBytes;
  }

  release(): readonly Uint8Array[] {
    const parts = this.#parts;
    this.#parts = [];
    return parts;
  }

  /** @throws DarkroomError FIELD_INVALID */
  async assertLittle(): Promise<void> {
    if (this.#bytes > this.#maxBytes) {
      return;
    }
    let json: Uint8Array;
    try {
      const packed = Buffer.concat(this.#parts);
      json = await this.#compression.decompress(packed, this.#maxBytes);
    } catch {
      // Whoever reads it says so.
      return;
    }
    if (hasTooManyMarks(json)) {
      throw tooManyMarks(this.#field);
    }
  }
}

async function* ofEnvelopes(
  body: AsyncIterable<Uint8Array>,
  { field, maxBytes, compression }: MeasuredBody,
): AsyncGenerator<Uint8Array> {
  const head = Buffer.alloc(headBytes);
  let headFilled = 0;
  let left = 0;
  let measure = new JsonMeasure();
  let packed: HeldMessage | undefined;
  /** What has come since a message began that has to be looked at first. */
  let kept: Uint8Array[] = [];
  for await (const part of body) {
    kept.push(part);
    for (let i = 0; i < part.byteLength;) {
      if (left === 0) {
        const count = Math.min(headBytes - headFilled, part.byteLength - i);
        head.set(part.subarray(i, i + count), headFilled);
        headFilled += count;
        i += count;
        if (headFilled < headBytes) {
          continue;
        }
        headFilled = 0;
        left = head.readUInt32BE(1);
        measure = new JsonMeasure();
        const isPacked = ((head[0] ?? 0) & compressedFlag) !== 0 && left <= maxBytes;
        packed =
          isPacked && compression ? new HeldMessage(maxBytes, compression, field) : undefined;
        continue;
      }
      const piece = part.subarray(i, i + left);
      i += piece.byteLength;
      left -= piece.byteLength;
      if (packed === undefined) {
        measure.take(piece);
        if (measure.isTooMuch) {
          throw tooManyMarks(field);
        }
      } else {
        packed.hold(piece);
        if (left === 0) {
          await packed.assertLittle();
          packed = undefined;
        }
      }
    }
    if (packed === undefined) {
      yield* kept;
      kept = [];
    }
  }
  yield* kept;
}
