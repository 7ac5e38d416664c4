import { request as httpRequest, type IncomingMessage } from 'node:http';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { decodedBody } from './content-encoding.ts';
import { readContentRange, validatorOf, wholeSizeOf } from './http-fields.ts';
import type { ReachPolicy } from './reach-policy.ts';
import { connectToSource, type NameLookup } from './source-connection.ts';
import {
  failureOfBody,
  failureToAnswer,
  protocolInvalid,
  sourceChanged,
  SourceFailure,
} from './source-failure.ts';
import { nameOfUrl } from './source-name.ts';

/** How sources are read. Times are in ms. */
export interface HttpSourceOptions {
  readonly reach: ReachPolicy;
  /** For the name, the connection and TLS. */
  readonly connectTimeoutMs: number;
  /** From the request to the answer's header. */
  readonly responseTimeoutMs: number;
  readonly maxRedirects: number;
  /** `dns.lookup` if not set. */
  readonly lookup?: NameLookup | undefined;
}

/** The same for one opening, which its signal ends. */
interface OpeningOptions extends HttpSourceOptions {
  readonly signal: AbortSignal;
}

/** What is known of the bytes that are stored already. */
export interface StoredPrefix {
  readonly size: number;
  /** Of the whole, as the source said it; null if it did not. */
  readonly sourceSize: number | null;
  /** As If-Range takes it; null if the source gave none. */
  readonly validator: string | null;
}

/** A source that sends. */
export interface OpenedSource {
  /** For people. */
  readonly name: string;
  /** Where the body begins in the image: at the end of what is stored, or at 0 if the source cannot do that. */
  readonly start: number;
  /** Bytes of the whole image; undefined if the source does not say it. */
  readonly size: number | undefined;
  /** By which a later request can ask for the rest of the same bytes. */
  readonly validator: string | undefined;
  /** Ends when the body is whole. @throws DarkroomError SOURCE_CUT_SHORT, SOURCE_PROTOCOL_INVALID. */
  readonly body: AsyncIterator<Buffer>;
  /** Bytes as they came over the network. */
  bytesReceived(): number;
  /** Ends the connection. */
  close(): void;
}

const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** Statuses that may be gone in a moment; of a 4xx these alone (RFC 9110, RFC 6585, RFC 8470). */
const passing: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);
const longestRetryAfterMs = 600_000;

/**
 * Opens a source, following its redirects, each of which is checked as the first address was.
 *
 * Where bytes are stored already, and the source said by which to tell its versions apart, it is asked for
 * the rest of that version (RFC 9110, section 13.1.5).
 *
 * @param headers for the source; a redirect to another origin does not get them.
 * @param isWholeKnown whether the size or digest of the whole is stated elsewhere, so that a body of
 *   which nobody knows where it ends can be taken.
 * @throws DarkroomError any of the SOURCE_ reasons; nothing else.
 */
export async function openHttpSource(
  text: string,
  headers: Readonly<Record<string, string>>,
  stored: StoredPrefix,
  isWholeKnown: boolean,
  options: OpeningOptions,
): Promise<OpenedSource> {
  const first = options.reach.parse(text, 'copy_from.url');
  let url = first;
  for (let redirected = 0; ; redirected += 1) {
    const own = url.origin === first.origin ? headers : {};
    const answer = await ask(url, { ...own, ...rangeHeaders(stored) }, options);
    const { response } = answer;
    if (!redirects.has(response.statusCode ?? 0)) {
      try {
        return openBody(url, answer, stored, isWholeKnown);
      } catch (error) {
        response.destroy();
        throw error;
      }
    }
    response.destroy();
    if (redirected >= options.maxRedirects) {
      throw redirectRefused(`It redirects more than ${options.maxRedirects} times`, first);
    }
    url = redirectTarget(url, response, options.reach);
  }
}

function rangeHeaders({ size, validator }: StoredPrefix): Record<string, string> {
  return size > 0 && validator !== null ? { range: `bytes=${size}-`, 'if-range': validator } : {};
}

/** An answer whose header has come. */
interface Answer {
  readonly response: IncomingMessage;
  /** What the parser disliked since: the response itself says only that it was cut off. */
  failure: Error | undefined;
}

async function ask(
  url: URL,
  headers: Readonly<Record<string, string>>,
  options: OpeningOptions,
): Promise<Answer> {
  const name = nameOfUrl(url);
  try {
    const socket = await connectToSource(url, { ...options, timeoutMs: options.connectTimeoutMs });
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const request = httpRequest({
      createConnection: () => socket,
      path: `${url.pathname}${url.search}`,
      setHost: false,
      headers: {
        'user-agent': 'darkroom',
        accept: '*/*',
        ...headers,
        host: url.host,
        'accept-encoding': 'identity',
        connection: 'close',
      },
    });
    const timer = setTimeout(() => {
      const seconds = options.responseTimeoutMs / 1000;
      request.destroy(
        new SourceFailure('SOURCE_TIMEOUT', `No answer within ${seconds} s: ${name}.`, {
          mayPass: true,
        }),
      );
    }, options.responseTimeoutMs);
    let answer: Answer | undefined;
    request.once('response', (response) => {
      answer = { response, failure: undefined };
      resolve(answer);
    });
    request.once('upgrade', () => reject(protocolInvalid(`${name} wants another protocol.`)));
    request.on('error', (error) => {
      if (answer) {
        answer.failure ??= error;
      }
      reject(error);
    });
    request.once('close', () => reject(new Error('the connection was closed')));
    const onAbort = (): void => reject(options.signal.reason as Error);
    options.signal.addEventListener('abort', onAbort);
    request.end();
    try {
      return await promise;
    } catch (error) {
      request.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
      options.signal.removeEventListener('abort', onAbort);
    }
  } catch (error) {
    throw failureToAnswer(error, name);
  }
}

function redirectTarget(from: URL, response: IncomingMessage, reach: ReachPolicy): URL {
  const { location } = response.headers;
  const target = location === undefined ? null : URL.parse(location, from.href);
  if (location === undefined || target === null) {
    throw redirectRefused(`Status ${response.statusCode} came without an address to go to`, from);
  }
  if (from.protocol === 'https:' && target.protocol === 'http:') {
    throw redirectRefused(`It redirects from https to ${nameOfUrl(target)}`, from);
  }
  if (target.username !== '' || target.password !== '') {
    throw redirectRefused('It redirects to an address with a user or a password', from);
  }
  try {
    reach.assertAllowed(target, location);
  } catch (error) {
    throw error instanceof DarkroomError
      ? new SourceFailure(error.reason, `${nameOfUrl(from)} redirects. ${error.message}`, {
          mayPass: false,
        })
      : error;
  }
  return target;
}

function redirectRefused(what: string, source: URL): SourceFailure {
  return new SourceFailure(
    'SOURCE_REDIRECT_REFUSED',
    `${what}: ${nameOfUrl(source)}. Import from the address where the image is.`,
    { mayPass: false },
  );
}

function openBody(
  url: URL,
  answer: Answer,
  stored: StoredPrefix,
  isWholeKnown: boolean,
): OpenedSource {
  const { response } = answer;
  const name = nameOfUrl(url);
  const start = startOf(name, response, stored);
  const { body, isEncoded } = decodedBody(response, name);
  const validator = isEncoded ? undefined : validatorOf(response.headers);
  const size = isEncoded ? undefined : wholeSizeOf(response);
  if (stored.validator !== null && validator !== undefined && validator !== stored.validator) {
    throw sourceChanged(`${name} has changed since ${stored.size} bytes of it were read.`);
  }
  if (stored.sourceSize !== null && size !== undefined && size !== stored.sourceSize) {
    throw sourceChanged(`${name} had ${stored.sourceSize} bytes, and has ${size} now.`);
  }
  const isDelimited =
    response.headers['content-length'] !== undefined ||
    response.headers['transfer-encoding'] !== undefined;
  if (!isDelimited && !isEncoded && !isWholeKnown) {
    throw protocolInvalid(
      `${name} does not say where the image ends, so that nobody could tell whether it is whole. State ` +
        'its total_size, sha256 or sha512.',
    );
  }
  const { socket } = response;
  let received = 0;
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  return {
    name,
    start,
    size,
    validator,
    body: {
      async next() {
        try {
          const chunk = await chunks.next();
          received += chunk.done === true ? 0 : chunk.value.byteLength;
          return chunk;
        } catch (error) {
          throw failureOfBody(answer.failure ?? error, name, received);
        }
      },
    },
    bytesReceived: () => socket.bytesRead,
    close() {
      response.on('error', () => {});
      body.on('error', () => {});
      response.destroy();
      body.destroy();
    },
  };
}

/** Where the body of an answer begins. @throws DarkroomError if it is not one that brings the bytes. */
function startOf(name: string, response: IncomingMessage, stored: StoredPrefix): number {
  const { statusCode: status = 0, headers } = response;
  const asked = stored.size > 0 && stored.validator !== null;
  if (status === 200) {
    return 0;
  }
  if (asked && status === 416) {
    throw sourceChanged(`${name} has no bytes after ${stored.size} any more.`);
  }
  if (asked && status === 206) {
    const range = readContentRange(headers['content-range']);
    if (range?.start !== stored.size) {
      throw protocolInvalid(
        `${name} was asked for the bytes from ${stored.size}, and sent others.`,
      );
    }
    return range.start;
  }
  const mayPass = passing.has(status);
  const seconds = Number(headers['retry-after'] ?? 0);
  throw new SourceFailure(
    'SOURCE_HTTP_STATUS',
    `The source answered ${status}${response.statusMessage ? ` ${printable(response.statusMessage)}` : ''}: ${name}.`,
    { mayPass, retryAfterMs: seconds > 0 ? Math.min(seconds * 1000, longestRetryAfterMs) : 0 },
  );
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 60);
}
