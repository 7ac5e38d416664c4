import type { Message } from '@bufbuild/protobuf';
import { hasTooManyMarks } from '../../domain/json-measure.ts';
import type { DirectForm } from './direct-forms.ts';
import { onlyMessageIn } from './envelope.ts';
import { receiveLargeJson, type LargeJson } from './received-json.ts';
import { replayed, type MessageSerialization, type Received } from './received.ts';

/**
 * Receives the one message of a call.
 *
 * @param maxBytes how many bytes its body may have.
 * @param large what has larger ones read, where anything does.
 */
export async function receive(
  body: AsyncIterable<Uint8Array>,
  form: DirectForm,
  serialization: MessageSerialization,
  maxBytes: number,
  large: LargeJson | undefined,
): Promise<Received> {
  const source = body[Symbol.asyncIterator]();
  const parts: Uint8Array[] = [];
  let size = 0;
  let message: Message | undefined;
  if (large?.compression !== undefined) {
    return receiveLargeJson(parts, source, large);
  }
  for (;;) {
    let part: IteratorResult<Uint8Array>;
    try {
      part = await source.next();
    } catch (error) {
      const failing = { next: () => Promise.reject(error) };
      return { message: undefined, body: replayed(parts, failing) };
    }
    if (part.done === true) {
      message ??= form.isEnclosed ? undefined : parsed(form, serialization, joined(parts));
      return { message, body: replayed(parts) };
    }
    parts.push(part.value);
    size += part.value.byteLength;
    if (size > maxBytes && large !== undefined) {
      return receiveLargeJson(parts, source, large);
    }
    if (size > maxBytes) {
      return { message: undefined, body: replayed(parts, source) };
    }
    if (form.isEnclosed) {
      // Connect refuses what is wrong as soon as it has come, though the client sends no end.
      const enclosed = onlyMessageIn(joined(parts), maxBytes);
      if (enclosed === 'incomplete') {
        continue;
      }
      message = enclosed && parsed(form, serialization, enclosed);
      if (message === undefined) {
        return { message, body: replayed(parts, source) };
      }
    }
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  return first !== undefined && parts.length === 1 ? first : Buffer.concat(parts);
}

function parsed(
  { isBinary }: DirectForm,
  serialization: MessageSerialization,
  data: Uint8Array,
): Message | undefined {
  if (!isBinary && hasTooManyMarks(data)) {
    return undefined;
  }
  try {
    return serialization.getI(isBinary).parse(data);
  } catch {
    return undefined;
  }
}
