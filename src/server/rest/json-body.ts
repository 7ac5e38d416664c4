import { DarkroomError, invalidField } from '../../domain/darkroom-error.ts';
import { JsonMeasure, tooManyMarks } from '../../domain/json-measure.ts';
import { quoted } from '../../domain/quoted.ts';
import type { StreamPace } from '../../uploads/receiving/stream-watchdog.ts';
import type { HttpCall } from '../http/http-endpoints.ts';
import { atPace } from '../http/paced-body.ts';
import { RestError } from './rest-error.ts';
import { parseStrictJson } from './strict-json.ts';

/**
 * Far above the largest image that can be described: 128 properties with keys of 255 characters and values of 1 KiB, all of
 * it escaped, and 128 tags.
 */
const maxBytes = 2 * 1024 * 1024;

/**
 * Reads the JSON that a request is sent with.
 *
 * @param pace what its client must keep up.
 * @param types the content types that are taken, without parameters; a request that names none is taken for the first.
 * @throws DarkroomError UNSUPPORTED (415) for another content type or an encoding, MESSAGE_TOO_LARGE (413), FIELD_INVALID
 *   for what is no JSON, or nothing; CONNECTION_LOST, STREAM_IDLE, STREAM_TOO_SLOW where it does not come whole.
 */
export async function jsonBody(
  call: HttpCall,
  pace: StreamPace,
  types: readonly string[] = ['application/json'],
): Promise<unknown> {
  requireType(call, types);
  const parts: Uint8Array[] = [];
  let size = 0;
  const measure = new JsonMeasure();
  for await (const part of atPace(call.body, pace)) {
    size += part.byteLength;
    if (size > maxBytes) {
      throw new DarkroomError(
        'MESSAGE_TOO_LARGE',
        `The body has more than ${maxBytes} bytes, which is more than any request needs.`,
        { metadata: { max_message_bytes: String(maxBytes) } },
      );
    }
    measure.take(part);
    if (measure.isTooMuch) {
      throw tooManyMarks('body');
    }
    parts.push(part);
  }
  if (size === 0) {
    throw invalidField('body', 'must not be empty: JSON is expected');
  }
  return parseStrictJson(textOf(Buffer.concat(parts)));
}

/** The content type of a request without its parameters, in lower case; empty if it names none. */
export function contentTypeOf({ request }: HttpCall): string {
  const [type = ''] = (request.headers['content-type'] ?? '').split(';');
  return type.trim().toLowerCase();
}

function requireType(call: HttpCall, types: readonly string[]): void {
  const type = contentTypeOf(call);
  if (type !== '' && !types.includes(type)) {
    throw new RestError(
      415,
      'UNSUPPORTED',
      `The content type ${quoted(type)} is not taken here; send ${types.join(' or ')}.`,
    );
  }
  const encoding = call.request.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') {
    throw new RestError(
      415,
      'UNSUPPORTED',
      `The content encoding ${quoted(encoding)} is not taken here; send the body as it is.`,
    );
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw invalidField('body', 'must be UTF-8, and has bytes that are none');
  }
}
