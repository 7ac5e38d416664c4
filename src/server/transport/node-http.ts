import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';

/** A request as Node gives it, of HTTP/1.1 or HTTP/2. */
export type NodeRequest = IncomingMessage | Http2ServerRequest;

/** A response as Node gives it, of HTTP/1.1 or HTTP/2. */
export type NodeResponse = ServerResponse | Http2ServerResponse;

/** Takes every request of the port. Must not throw. */
export type RequestHandler = (request: NodeRequest, response: NodeResponse) => void;

/** Whether a request came over HTTP/2. */
export function isHttp2(request: NodeRequest): request is Http2ServerRequest {
  return 'stream' in request;
}

/** Whether a request came over TLS. */
export function isSecure(request: NodeRequest): boolean {
  return 'encrypted' in request.socket;
}

/** Whether a response has emitted 'close', or is about to. */
export function isClosed(response: NodeResponse): boolean {
  return 'stream' in response ? response.stream.destroyed : response.destroyed;
}

/** The client's address and port, such as `192.0.2.7:49152` or `[2001:db8::1]:49152`. */
export function peerAddress(request: NodeRequest): string {
  const { remoteAddress, remotePort } = request.socket;
  if (remoteAddress === undefined || remotePort === undefined) {
    return 'unknown';
  }
  return `${remoteAddress.includes(':') ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`;
}

/** The path of a request's URL, without its query. */
export function pathOf(request: NodeRequest): string {
  const url = request.url ?? '';
  const end = url.indexOf('?');
  return end === -1 ? url : url.slice(0, end);
}

/**
 * Ends an answer such that its client does not take it for whole.
 *
 * @param code the reset's, over HTTP/2 (RFC 9113, section 7). Over HTTP/1.1 the connection ends.
 */
export function breakOff(response: NodeResponse, code: number): void {
  if ('stream' in response) {
    response.stream.close(code);
  } else {
    response.destroy();
  }
}
