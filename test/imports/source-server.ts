import { once } from 'node:events';
import * as http from 'node:http';
import * as https from 'node:https';
import * as net from 'node:net';
import { onTestFinished } from 'vitest';
import { selfSigned } from './self-signed.ts';

/** What a source was asked. */
export interface SourceRequest {
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
}

/** A server on a real socket from which images are imported, and which does what its handler likes. */
export interface SourceServer {
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
  readonly port: number;
  readonly requests: readonly SourceRequest[];
  /** Connections that are open just now. */
  connections(): Promise<number>;
  close(): Promise<void>;
}

/** Answers a request. */
export type SourceHandler = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
  /** Which request it is, from 1. */
  number: number,
) => void;

type Defer = (close: () => Promise<void>) => void;

/** Starts a source; it ends with the test. */
export async function startSource(
  handler: SourceHandler,
  options: { readonly secure?: boolean; readonly host?: string; readonly defer?: Defer } = {},
): Promise<SourceServer> {
  const requests: SourceRequest[] = [];
  const listener: http.RequestListener = (request, response) => {
    requests.push({ url: request.url ?? '', headers: request.headers });
    response.on('error', () => {});
    handler(request, response, requests.length);
  };
  const server = options.secure
    ? https.createServer(selfSigned, listener)
    : http.createServer(listener);
  return begin(server, options.secure ? 'https' : 'http', requests, options);
}

/** Starts a source that speaks no HTTP but what its handler writes. */
export async function startRawSource(
  handler: (socket: net.Socket, number: number) => void,
): Promise<SourceServer> {
  let connections = 0;
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    connections += 1;
    handler(socket, connections);
  });
  return begin(server, 'http', []);
}

async function begin(
  server: net.Server,
  scheme: string,
  requests: readonly SourceRequest[],
  options: { readonly host?: string; readonly defer?: Defer } = {},
): Promise<SourceServer> {
  const { host = '127.0.0.1', defer = onTestFinished } = options;
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const close = async (): Promise<void> => {
    for (const socket of sockets) {
      socket.destroy();
    }
    await new Promise((resolve) => server.close(resolve));
  };
  defer(close);
  return {
    origin: `${scheme}://${host}:${port}`,
    port,
    requests,
    connections: () => Promise.resolve(sockets.size),
    close,
  };
}

/** A handler that serves bytes as a good server does: with an ETag, ranges and If-Range. */
export function serves(bytes: Uint8Array, etag = '"one"'): SourceHandler {
  return (request, response) => {
    const { start, isPart } = rangeOf(request, etag);
    response.writeHead(isPart ? 206 : 200, {
      etag,
      'accept-ranges': 'bytes',
      'content-length': bytes.byteLength - start,
      ...(isPart && {
        'content-range': `bytes ${start}-${bytes.byteLength - 1}/${bytes.byteLength}`,
      }),
    });
    response.end(bytes.subarray(start));
  };
}

/** Which bytes a request asks for, of the version of an etag. */
export function rangeOf(
  { headers }: http.IncomingMessage,
  etag: string,
): { readonly start: number; readonly isPart: boolean } {
  const [, start] = /^bytes=(\d+)-$/.exec(headers.range ?? '') ?? [];
  const isPart = start !== undefined && headers['if-range'] === etag;
  return { start: isPart ? Number(start) : 0, isPart };
}

/**
 * A handler that serves bytes and breaks the connection in the middle of the first answers.
 *
 * @param cuts how many bytes each of the first answers has.
 */
export function servesInPieces(
  bytes: Uint8Array,
  cuts: readonly number[],
  etag: string | null = '"one"',
): SourceHandler {
  return (request, response, number) => {
    const { start, isPart } = rangeOf(request, etag ?? 'none');
    const cut = cuts[number - 1];
    response.writeHead(isPart ? 206 : 200, {
      ...(etag !== null && { etag }),
      'content-length': bytes.byteLength - start,
      ...(isPart && {
        'content-range': `bytes ${start}-${bytes.byteLength - 1}/${bytes.byteLength}`,
      }),
    });
    if (cut === undefined) {
      response.end(bytes.subarray(start));
    } else {
      response.write(bytes.subarray(start, start + cut), () => {
        // What was written arrives before the reset of a socket that is ended first.
        response.socket?.end();
      });
    }
  };
}
