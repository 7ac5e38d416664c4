import { cors } from '@connectrpc/connect';
import type { NodeRequest, NodeResponse } from '../transport/node-http.ts';
import { allowsOrigin } from './origin-check.ts';

const allowedMethods = [...cors.allowedMethods, 'HEAD', 'OPTIONS'].join(', ');
const allowedHeaders = [
  ...cors.allowedHeaders,
  'Authorization',
  'If-Match',
  'If-None-Match',
  'If-Range',
  'Range',
  'X-Auth-Token',
  'X-Darkroom-Project',
  'X-Request-Id',
].join(', ');
const exposedHeaders = [
  ...cors.exposedHeaders,
  'Accept-Ranges',
  'Content-Range',
  'ETag',
  'Link',
  'Location',
  'Repr-Digest',
  'Retry-After',
  'WWW-Authenticate',
  'X-Request-Id',
].join(', ');
/** Browsers bound it: 2 h in Chromium. In seconds. */
const preflightMaxAge = '7200';

/**
 * Lets pages of the given origins call the service: sets the headers of CORS on a response, and answers a
 * preflight. True if the request was one and is answered. No credentials: the service takes no cookies.
 *
 * @param origins `*` for every page, or origins such as `https://console.example.com`.
 */
export function applyCors(
  origins: readonly string[],
  request: NodeRequest,
  response: NodeResponse,
): boolean {
  const isForAll = origins.includes('*');
  if (!isForAll) {
    // What a cache keeps for one origin must not be given to another.
    response.setHeader('vary', 'Origin');
  }
  const { origin } = request.headers;
  const isPreflight =
    request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined;
  if (origin !== undefined && allowsOrigin(origins, origin)) {
    response.setHeader('access-control-allow-origin', isForAll ? '*' : origin);
    if (isPreflight) {
      response.setHeader('access-control-allow-methods', allowedMethods);
      response.setHeader('access-control-allow-headers', allowedHeaders);
      response.setHeader('access-control-max-age', preflightMaxAge);
    } else {
      response.setHeader('access-control-expose-headers', exposedHeaders);
    }
  }
  if (isPreflight) {
    response.statusCode = 204;
    response.end();
  }
  return isPreflight;
}
