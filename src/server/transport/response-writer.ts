import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import { bytesWentOut } from '../../runtime/young-garbage.ts';
import { isHttp2, type NodeRequest, type NodeResponse } from './node-http.ts';
import type { RequestBody } from './request-body.ts';

/** How long the rest of a request that nobody wants is still read, so that its client sees the answer. */
const usualDiscardMs = 10_000;

/** The same at most where its client must be let send all, in ms, as long as it goes on. */
const longestDiscardMs = 3_600_000;

/**
 * Writes an RPC's response. Resolves when all of it is handed to Node, or when the client is gone: then
 * the body is told to end.
 *
 * @param gone fires when the response is closed.
 * @throws whatever the body throws; then the response is not whole and the caller must destroy it.
 */
export async function writeResponse(
  nodeResponse: NodeResponse,
  { status, header, body, trailer }: UniversalServerResponse,
  gone: AbortSignal,
): Promise<void> {
  // That of HTTP/2 has all that is used here, but types that do not agree.
  const response = nodeResponse as ServerResponse;
  const parts = (body ?? noParts())[Symbol.asyncIterator]();
  // The header goes out with the first part, so that the implementation could set it until then.
  let part = await parts.next();
  if (!gone.aborted) {
    response.writeHead(status, headersOf(header));
  }
  while (part.done !== true && !gone.aborted) {
    bytesWentOut(part.value.byteLength);
    if (!response.write(part.value)) {
      await untilDrained(response);
    }
    part = await parts.next();
  }
  if (gone.aborted) {
    // Not awaited: it ends when the implementation's pending step does, and the call's signal has fired.
    void parts.return?.().catch(() => {});
    return;
  }
  if (trailer !== undefined) {
    response.addTrailers(headersOf(trailer));
  }
  response.end();
}

/**
 * To be called before a response is written: once it is out, lets go of what the client still sends. Over
 * HTTP/2 the client is told to stop (RST_STREAM with NO_ERROR, RFC 9113, section 8.1); over HTTP/1.1, where it
 * cannot be told, its bytes are read and dropped for 10 s, since closing at once would take the answer away
 * from a client that is still sending.
 *
 * A PUT in chunks is read to its end while it goes on. Its client may read a source of which it has no more than one
 * reading, such as Nova and the clients of OpenStack do: a broken connection would have it send the rest as if it were all.
 */
export function discardRestAfter(
  request: NodeRequest,
  response: NodeResponse,
  body: RequestBody,
  discardMs = usualDiscardMs,
): void {
  if (isHttp2(request)) {
    const { stream } = request;
    const release = (): void => {
      if (stream.destroyed) {
        return;
      }
      body.leave();
      stream.resume();
      if (stream.state.remoteClose !== 1) {
        stream.close();
      }
    };
    // A response ends with its trailers, which are handed over in this event: after it, they are sent first.
    const onTrailers = (): void => void setImmediate(release);
    // Or with its header, if it is empty: there are no trailers then.
    const onFinish = (): void => {
      setImmediate(() => {
        if (!stream.destroyed && stream.state.localClose === 1) {
          release();
        }
      });
    };
    stream.on('wantTrailers', onTrailers);
    stream.on('finish', onFinish);
    // Of a body that was read to its end there is no rest. A watcher would keep 0.4 KiB for it, for as long as its answer.
    body.onceOver(() => {
      if (body.hasEnded) {
        stream.off('wantTrailers', onTrailers);
        stream.off('finish', onFinish);
      }
    });
    return;
  }
  response.once('finish', () => {
    body.leave();
    if (request.complete) {
      request.resume();
      return;
    }
    const begin = performance.now();
    const isOneReading = request.method === 'PUT' && 'transfer-encoding' in request.headers;
    let received = request.socket.bytesRead;
    const timer = setInterval(() => {
      const goesOn = request.socket.bytesRead > received;
      received = request.socket.bytesRead;
      if (!isOneReading || !goesOn || performance.now() - begin > longestDiscardMs) {
        request.destroy();
      }
    }, discardMs).unref();
    request.once('close', () => clearInterval(timer));
    request.resume();
  });
}

async function* noParts(): AsyncGenerator<never> {}

function untilDrained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    function done(): void {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    }
    response.on('drain', done);
    response.on('close', done);
  });
}

/** Headers as Node takes them. */
export function headersOf(headers: Headers | undefined): OutgoingHttpHeaders {
  return Object.fromEntries(headers ?? []);
}
