import type { Message } from '@bufbuild/protobuf';
import type { Compression } from '@connectrpc/connect/protocol';
import { hasTooManyMarks, JsonMeasure } from '../../domain/json-measure.ts';
import type { JsonThread } from './json-thread.ts';
import { replayed, type MessageSerialization, type Received } from './received.ts';

/** Where and how large messages in JSON are read. */
export interface LargeJson {
  readonly thread: JsonThread;
  /** Whose message it is: each has only so many read at a time. */
  readonly client: string;
  readonly typeName: string;
  /** Bytes that the message may have, inflated too. */
  readonly maxBytes: number;
  /** How the body is compressed; undefined if it is not. */
  readonly compression: Compression | undefined;
  readonly serialization: MessageSerialization;
}

/** JSON is read by the event loop itself up to so many bytes: a millisecond. */
const maxOnLoopBytes = 64 * 1024;

/**
 * Receives the rest of a message in JSON that is large, or that is compressed and may be, and has it read by another thread.
 *
 * @param parts what has come of it.
 * @param source where the rest comes from.
 */
export function receiveLargeJson(
  parts: Uint8Array[],
  source: AsyncIterator<Uint8Array>,
  large: LargeJson,
): Promise<Received> {
  return large.thread.inTurn(large.client, async () => {
    let size = parts.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const measure = new JsonMeasure();
    if (large.compression === undefined) {
      parts.forEach((part) => measure.take(part));
    }
    while (size <= large.maxBytes && !measure.isTooMuch) {
      let part: IteratorResult<Uint8Array>;
      try {
        part = await source.next();
      } catch (error) {
        const failing = { next: () => Promise.reject(error) };
        return { message: undefined, body: replayed(parts, failing) };
      }
      if (part.done === true) {
        return read(parts, large);
      }
      parts.push(part.value);
      size += part.value.byteLength;
      if (large.compression === undefined) {
        measure.take(part.value);
      }
    }
    // It is refused for its size or its marks as it is read on, and nothing of it is parsed.
    return { message: undefined, body: replayed(parts, source) };
  });
}

async function read(parts: readonly Uint8Array[], large: LargeJson): Promise<Received> {
  const { compression, maxBytes, serialization, thread, typeName } = large;
  const body = replayed(parts);
  let json = parts;
  if (compression !== undefined) {
    try {
      json = [await compression.decompress(Buffer.concat(parts), maxBytes)];
    } catch {
      return { message: undefined, body };
    }
    if (hasTooManyMarks(...json)) {
      return { message: undefined, body };
    }
  }
  const isSmall = json.reduce((sum, { byteLength }) => sum + byteLength, 0) <= maxOnLoopBytes;
  try {
    const message: Message = isSmall
      ? serialization.getI(false).parse(Buffer.concat(json))
      : serialization.getI(true).parse(await thread.read(typeName, json));
    return { message, body, isBodyGone: true };
  } catch (failure) {
    return { message: undefined, body, isBodyGone: true, failure };
  }
}
