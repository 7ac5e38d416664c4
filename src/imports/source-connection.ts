import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { hostOf } from '../domain/host-name.ts';
import type { ReachPolicy } from './reach-policy.ts';
import { SourceFailure } from './source-failure.ts';
import { nameOfUrl } from './source-name.ts';

/** Resolves a name to all its addresses; `dns.lookup`, or what stands in for it. */
export type NameLookup = (
  name: string,
  options: { readonly all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/** How a source is connected to. */
export interface ConnectionOptions {
  readonly reach: ReachPolicy;
  /** For the name, the connection and TLS together, in ms. */
  readonly timeoutMs: number;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
  /** `dns.lookup` if not set. */
  readonly lookup?: NameLookup | undefined;
}

/**
 * Connects to a source, by TLS for https. What it may reach is checked three times: the addresses of its
 * name before any is tried, and the socket's before anything is sent; the URL itself before the call.
 *
 * @throws DarkroomError SOURCE_FORBIDDEN, SOURCE_TIMEOUT, SOURCE_TLS_FAILED; Node's errors.
 */
export async function connectToSource(
  url: URL,
  { reach, timeoutMs, signal, lookup = systemLookup }: ConnectionOptions,
): Promise<Socket> {
  signal.throwIfAborted();
  const host = hostOf(url);
  const isSecure = url.protocol === 'https:';
  const port = url.port === '' ? (isSecure ? 443 : 80) : Number(url.port);
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const plain = connect({ host, port, lookup: guardedLookup(reach, lookup), noDelay: true });
  let socket: Socket = plain;
  const timer = setTimeout(() => {
    reject(
      new SourceFailure(
        'SOURCE_TIMEOUT',
        `No connection within ${timeoutMs / 1000} s: ${nameOfUrl(url)}.`,
        { mayPass: true },
      ),
    );
  }, timeoutMs);
  const onAbort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort);
  plain.once('error', reject);
  plain.once('connect', () => {
    try {
      reach.assertAllowedAddress(plain.remoteAddress ?? '');
    } catch (error) {
      reject(error);
      return;
    }
    if (!isSecure) {
      resolve(plain);
      return;
    }
    const secure = connectTls({
      socket: plain,
      ALPNProtocols: ['http/1.1'],
      ...(isIP(host) === 0 ? { servername: host } : { host }),
    });
    socket = secure;
    secure.once('error', (error: NodeJS.ErrnoException) =>
      reject(brokenConnection.has(error.code ?? '') ? error : tlsFailure(error, url)),
    );
    secure.once('secureConnect', () => resolve(secure));
  });
  try {
    return await promise;
  } catch (error) {
    // What they say after that is heard by nobody else, and would end the process.
    plain.on('error', () => {});
    socket.on('error', () => {});
    plain.destroy();
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    plain.off('error', reject);
  }
}

/** What breaks a handshake from outside says nothing of the certificate, and may pass. */
const brokenConnection: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT']);

/** Only addresses that may be reached are tried. */
function guardedLookup(reach: ReachPolicy, lookup: NameLookup): LookupFunction {
  return (name, options, callback) => {
    lookup(name, { all: true }, (error, addresses) => {
      if (error) {
        callback(error, '');
        return;
      }
      const wanted = addresses.filter(
        ({ family }) => (options.family ?? 0) === 0 || options.family === family,
      );
      const allowed = wanted.filter(({ address }) => reach.allowsAddress(address));
      const [first] = allowed;
      if (first === undefined) {
        try {
          reach.assertAllowedAddress(wanted[0]?.address ?? '');
        } catch (refusal) {
          callback(refusal as Error, '');
        }
      } else if (options.all === true) {
        callback(null, allowed);
      } else {
        callback(null, first.address, first.family);
      }
    });
  };
}

function tlsFailure(error: NodeJS.ErrnoException, url: URL): SourceFailure {
  return new SourceFailure(
    'SOURCE_TLS_FAILED',
    `No secure connection to ${url.host}: ${error.message} (${error.code ?? 'no code'}).`,
    { cause: error, mayPass: false },
  );
}
