/** Which bytes of something a request is answered with. `end` is the first byte that is not. */
export type ByteRange =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly start: number; readonly end: number }
  | { readonly kind: 'unsatisfiable' };

const whole: ByteRange = { kind: 'whole' };
const unsatisfiable: ByteRange = { kind: 'unsatisfiable' };

/**
 * What a Range header asks for (RFC 9110, section 14). Several ranges, other units and what cannot be read ask for
 * nothing, as the RFC allows: the client gets the whole, and can tell by the status.
 *
 * @param size of the whole, in bytes.
 */
export function byteRange(header: string | undefined, size: number): ByteRange {
  const [, first, last] = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header ?? '') ?? [];
  if (first === undefined || last === undefined || (first === '' && last === '')) {
    return whole;
  }
  if (first === '') {
    return lastBytes(Number(last), size);
  }
  const start = Number(first);
  const end = last === '' ? size : Math.min(size, Number(last) + 1);
  if (last !== '' && Number(last) < start) {
    return whole;
  }
  return start < size ? { kind: 'part', start, end } : unsatisfiable;
}

function lastBytes(count: number, size: number): ByteRange {
  if (count === 0) {
    return unsatisfiable;
  }
  // The last bytes of nothing are nothing, for which there is no Content-Range.
  return size === 0 ? whole : { kind: 'part', start: Math.max(0, size - count), end: size };
}
