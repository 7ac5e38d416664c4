import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import type { NodeRequest } from '../transport/node-http.ts';

/** How the answer to a GET goes out. */
export interface GetAnswer {
  /** 304 where the client has just this answer already. */
  readonly status: number;
  readonly cacheControl: string;
}

/**
 * The tag of what is answered, made of all that changes with it. Weak: it stands for the thing that is told of,
 * not for the bytes of one encoding.
 */
export function weakEtag(...parts: readonly (string | number)[]): string {
  return `W/"${parts.join('-')}"`;
}

/**
 * How an answer to a GET or a HEAD goes out; undefined for other methods. One with an etag may be kept by its
 * reader, who has to ask each time whether it still holds (If-None-Match). Everything else, such as lists and
 * errors, is not kept at all: it would be out of date without anybody knowing.
 */
export function getAnswer(
  request: NodeRequest,
  status: number,
  etag: string | null | undefined,
): GetAnswer | undefined {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return undefined;
  }
  if (status !== 200 || !etag) {
    return { status, cacheControl: 'no-store' };
  }
  const isKnown = knows(request.headers['if-none-match'], etag);
  return { status: isKnown ? 304 : 200, cacheControl: 'private, no-cache' };
}

/** An RPC's answer as it goes out to a GET; unchanged for other methods. */
export function conditionalResponse(
  request: NodeRequest,
  response: UniversalServerResponse,
): UniversalServerResponse {
  const answer = getAnswer(request, response.status, response.header?.get('etag'));
  if (answer === undefined) {
    return response;
  }
  const header = new Headers(response.header);
  header.set('cache-control', answer.cacheControl);
  if (answer.status !== 304) {
    return { ...response, header };
  }
  for (const name of [...header.keys()].filter((key) => key.startsWith('content-'))) {
    header.delete(name);
  }
  return { status: 304, header };
}

/** Compares weakly, as GET does: only what stands between the quotes counts (RFC 9110, section 13.1.2). */
function knows(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) {
    return false;
  }
  const opaque = (tag: string): string => tag.replace(/^W\//, '');
  const given = ifNoneMatch.match(/(?:W\/)?"[^"]*"/g) ?? [];
  return ifNoneMatch.trim() === '*' || given.some((tag) => opaque(tag) === opaque(etag));
}
