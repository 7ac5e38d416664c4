import * as http from 'node:http';
import * as https from 'node:https';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** A connection on which nothing moves for so long is given up, in ms: at the end of an upload its bytes are checked. */
const idleMs = 10 * 60 * 1000;
/** No answer of JSON is larger, in bytes. */
const maxJsonBytes = 64 * 1024 * 1024;

/** A request as it is sent. */
export interface Exchange {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** PEM of the authorities to trust besides Node's own. */
  readonly authorities: readonly string[] | undefined;
}

/** An answer that was read to its end. */
export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  /** What its JSON is; undefined where it is none. */
  readonly body: unknown;
}

/** Sends a request without a body, or with a small one. @returns its answer, whose body is still to be read. */
export function open(exchange: Exchange, body?: string): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = begin(exchange);
    request.once('response', resolve).on('error', reject).end(body);
  });
}

/**
 * Sends a request with a body of any length, no faster than it is taken.
 *
 * @throws what the body throws; an Error with a code for what the network does.
 */
export async function send(exchange: Exchange, body: AsyncIterable<Uint8Array>): Promise<Answer> {
  const request = begin(exchange);
  const refused = new AbortController();
  const answer = new Promise<Answer>((resolve, reject) => {
    request.on('error', reject);
    request.once('response', (response) => {
      readAnswer(response).then((read) => {
        resolve(read);
        // Who refuses wants no more of it. Who takes it has all that it wants, and the body is still read to its end.
        if (read.status >= 300) {
          refused.abort();
        }
      }, reject);
    });
  });
  const sent = pipeline(Readable.from(body), request, { signal: refused.signal });
  // Where the connection breaks this ends at once; the pipeline may wait for a body that is silent.
  answer.catch(() => {});
  sent.catch(() => {});
  await Promise.race([sent, answer]);
  const { status } = await answer;
  if (status < 300) {
    await sent;
  }
  return answer;
}

/** Reads an answer to its end. */
export async function readAnswer(response: http.IncomingMessage): Promise<Answer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > maxJsonBytes) {
      response.destroy();
      throw new Error(`an answer of JSON is larger than ${maxJsonBytes} bytes`);
    }
    parts.push(part);
  }
  const text = Buffer.concat(parts).toString();
  return { status: response.statusCode ?? 0, headers: response.headers, body: jsonIn(text) };
}

function begin({ method, url, headers, authorities }: Exchange): http.ClientRequest {
  const options = { method, headers: { accept: 'application/json', ...headers } };
  const request =
    url.protocol === 'https:'
      ? https.request(url, { ...options, ...(authorities && { ca: [...authorities] }) })
      : http.request(url, options);
  return request.setTimeout(idleMs, () => {
    const error = new Error(`${url.host} has neither taken nor sent anything for ${idleMs} ms`);
    request.destroy(Object.assign(error, { code: 'ETIMEDOUT' }));
  });
}

function jsonIn(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
