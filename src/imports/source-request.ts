import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { ReachPolicy } from './reach-policy.ts';
import { connectToSource, type NameLookup } from './source-connection.ts';
import { failureToAnswer, protocolInvalid, SourceFailure } from './source-failure.ts';
import { nameOfUrl } from './source-name.ts';

/** How a source is asked. Times are in ms. */
export interface RequestOptions {
  readonly reach: ReachPolicy;
  /** For the name, the connection and TLS. */
  readonly connectTimeoutMs: number;
  /** From the request to the answer's header. */
  readonly responseTimeoutMs: number;
  /** `dns.lookup` if not set. */
  readonly lookup?: NameLookup | undefined;
  /** Ends the waiting. */
  readonly signal: AbortSignal;
}

/** An answer whose header has come. */
export interface Answer {
  readonly url: URL;
  readonly response: IncomingMessage;
  /** What the parser disliked since: the response itself says only that it was cut off. */
  failure: Error | undefined;
}

/**
 * Asks a source for what is at an address, on a connection of its own.
 *
 * @throws DarkroomError any of the SOURCE_ reasons; the signal's.
 */
export async function askSource(
  url: URL,
  headers: Readonly<Record<string, string>>,
  options: RequestOptions,
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
      answer = { url, response, failure: undefined };
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
