import { getAnswer } from '../http/conditional-get.ts';
import type { NodeRequest } from '../transport/node-http.ts';
import { byteRange, type ByteRange } from './byte-range.ts';

/** What a request for bytes that never change is answered with. */
export type FileAnswer =
  | { readonly status: 200 }
  | { readonly status: 206; readonly range: ByteRange & { readonly kind: 'part' } }
  | { readonly status: 304 | 412 | 416 };

/**
 * Decides by a request's conditions and its range, in the order of RFC 9110, section 13.2.2. Dates are not looked
 * at: there is no Last-Modified, so nobody can have one to ask with.
 *
 * @param etag a strong one.
 */
export function fileAnswer(request: NodeRequest, etag: string, size: number): FileAnswer {
  const { headers, method } = request;
  const ifMatch = headers['if-match'];
  if (ifMatch !== undefined && !holdsFor(ifMatch, etag)) {
    return { status: 412 };
  }
  if (getAnswer(request, 200, etag)?.status === 304) {
    return { status: 304 };
  }
  const ifRange = headers['if-range'];
  const isSame = typeof ifRange !== 'string' || ifRange.trim() === etag;
  // A range is of GET alone (section 14.2).
  const range = byteRange(isSame && method === 'GET' ? headers.range : undefined, size);
  switch (range.kind) {
    case 'whole':
      return { status: 200 };
    case 'part':
      return { status: 206, range };
    case 'unsatisfiable':
      return { status: 416 };
  }
}

/** Compares strongly, as If-Match does: what is weak is equal to nothing (section 13.1.1). */
function holdsFor(ifMatch: string, etag: string): boolean {
  const given: readonly string[] = ifMatch.match(/(?:W\/)?"[^"]*"/g) ?? [];
  return ifMatch.trim() === '*' || given.includes(etag);
}
