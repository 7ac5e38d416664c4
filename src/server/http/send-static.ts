import { isSecure, type NodeResponse } from '../transport/node-http.ts';
import { accepts } from './accepts.ts';
import { getAnswer } from './conditional-get.ts';
import type { HttpCall } from './http-endpoints.ts';
import type { StaticFile } from './static-files.ts';

/**
 * What pages of this service may do: run its own scripts, and call it. Nothing of anybody else, nothing that stands in a page
 * itself, and in nobody's frame.
 */
export const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "font-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

const pageHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': contentSecurityPolicy,
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/**
 * Answers with a file of a site, in the shortest form that the client takes.
 *
 * @param isForEver whether its name changes with its bytes, so that who has it need never ask again; else each reader asks
 *   each time whether it still holds.
 */
export function sendStatic(call: HttpCall, file: StaticFile, isForEver: boolean): void {
  const { request, response } = call;
  const answer = getAnswer(request, 200, file.etag);
  setHeaders(response, pageHeaders);
  if (isSecure(request)) {
    // Elsewhere browsers only complain of it.
    response.setHeader('cross-origin-opener-policy', 'same-origin');
  }
  response.setHeader('etag', file.etag);
  response.setHeader(
    'cache-control',
    isForEver ? 'public, max-age=31536000, immutable' : (answer?.cacheControl ?? 'no-store'),
  );
  addVary(response, 'Accept-Encoding');
  if (answer?.status === 304) {
    response.statusCode = 304;
    response.end();
    return;
  }
  const taken = [...file.packed].find(([encoding]) =>
    accepts(request.headers['accept-encoding']?.toString(), encoding),
  );
  if (taken !== undefined) {
    response.setHeader('content-encoding', taken[0]);
  }
  const body = taken?.[1] ?? file.plain;
  response.setHeader('content-type', file.type);
  response.setHeader('content-length', body.length);
  response.statusCode = 200;
  if (request.method === 'HEAD') {
    response.end();
  } else {
    response.end(body);
  }
}

/** Answers with a sentence for a person, where a page would be; nobody keeps it. */
export function sendSentence(response: NodeResponse, status: number, text: string): void {
  setHeaders(response, pageHeaders);
  response.setHeader('cache-control', 'no-store');
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.statusCode = status;
  response.end(`${text}\n`);
}

/** Says that an answer depends on a header of the request, beside what it depends on already, such as for CORS. */
export function addVary(response: NodeResponse, name: string): void {
  const before = response.getHeader('vary');
  response.setHeader('vary', before === undefined ? name : `${String(before)}, ${name}`);
}

function setHeaders(response: NodeResponse, values: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(values)) {
    response.setHeader(name, value);
  }
}
