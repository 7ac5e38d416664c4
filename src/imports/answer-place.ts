import type { IncomingMessage } from 'node:http';
import { isEncoded } from './content-encoding.ts';
import {
  contentLengthOf,
  isOfOtherVersion,
  readContentRange,
  readUnsatisfiedSize,
} from './http-fields.ts';
import { sourceChanged, statusFailure } from './source-failure.ts';

/** The rest of one version of an image, as a source is asked for it. */
export interface Rest {
  /** Bytes that are there already; not 0. */
  readonly from: number;
  /** Of their version, as If-Range takes it. */
  readonly validator: string;
  /** Bytes of the whole; undefined if nobody has said it. */
  readonly size: number | undefined;
}

/** Where in the image the body of an answer belongs. */
export interface Place {
  readonly start: number;
  /** Where it ends if it is a range; undefined for a body that goes from `start` to the image's end. */
  readonly end: number | undefined;
  /** Bytes of the whole, as the answer says it. */
  readonly size: number | undefined;
}

/**
 * A source does not do what it should with a range. That says nothing of the image: it can be read from
 * its beginning instead. No failure by itself; the message is a clause that completes "since …".
 */
export class RangeUnusable extends Error {
  override readonly name = 'RangeUnusable';
  /** How many bytes the source said by the way that this version has; undefined if it did not. */
  readonly toldSize: number | undefined;

  constructor(clause: string, options: { readonly toldSize?: number | undefined } = {}) {
    super(clause);
    this.toldSize = options.toldSize;
  }
}

/** The headers that ask for a rest, if it is of the version that is had (RFC 9110, section 13.1.5). */
export function headersFor(rest: Rest | undefined): Record<string, string> {
  return rest ? { range: `bytes=${rest.from}-`, 'if-range': rest.validator } : {};
}

/**
 * Where the body of an answer belongs, by what the answer says. A source may send any part of what it was
 * asked for (RFC 9110, section 15.3.7), or the whole; what it says must fit to what it said before.
 *
 * @param name of the source.
 * @param rest that was asked for; undefined where the whole was.
 * @param stored bytes that are there already.
 * @throws RangeUnusable if a rest was asked for, and what came cannot be placed.
 * @throws DarkroomError SOURCE_HTTP_STATUS, SOURCE_CHANGED.
 */
export function placeOf(
  name: string,
  response: IncomingMessage,
  rest: Rest | undefined,
  stored: number,
): Place {
  const { statusCode: status } = response;
  if (status === 200) {
    return { start: 0, end: undefined, size: contentLengthOf(response) };
  }
  if (status === 206) {
    const place = placeOfPart(response, rest);
    if (!(place instanceof RangeUnusable)) {
      return place;
    }
    throw rest ? place : statusFailure(response, name);
  }
  if (status === 416 && rest) {
    const toldSize = readUnsatisfiedSize(response.headers['content-range']);
    throw new RangeUnusable(`it answered 416 when it was asked for the bytes from ${rest.from}`, {
      toldSize,
    });
  }
  if (status === 416 && stored > 0) {
    throw sourceChanged(`${name} has neither bytes after ${stored} any more nor any before (416).`);
  }
  throw statusFailure(response, name);
}

function placeOfPart(response: IncomingMessage, rest: Rest | undefined): Place | RangeUnusable {
  const { headers } = response;
  const from = rest?.from ?? 0;
  const asked = `it was asked for the bytes from ${from}, and sent`;
  if (/^\s*multipart\//i.test(headers['content-type'] ?? '')) {
    return new RangeUnusable(`${asked} several parts`);
  }
  if (isEncoded(response)) {
    return new RangeUnusable(`${asked} a part of something that is encoded`);
  }
  if (rest && isOfOtherVersion(headers, rest.validator)) {
    return new RangeUnusable(`${asked} some of another version`);
  }
  const range = readContentRange(headers['content-range']);
  if (!range) {
    return new RangeUnusable(`${asked} some without saying which`);
  }
  const { start, end } = range;
  const size = range.size ?? rest?.size;
  if (size === undefined) {
    return new RangeUnusable('nobody can tell by a range of it where it ends');
  }
  if (rest?.size !== undefined && rest.size !== size) {
    return new RangeUnusable(`it said that it has ${rest.size} bytes, and ${size} with a range`, {
      toldSize: size,
    });
  }
  if (start > from || end <= from || end > size) {
    return new RangeUnusable(`${asked} those from ${start} to ${end - 1} of ${size}`);
  }
  const length = contentLengthOf(response) ?? end - start;
  if (length !== end - start) {
    return new RangeUnusable(`${asked} ${length} bytes as those from ${start} to ${end - 1}`);
  }
  return { start, end, size };
}
