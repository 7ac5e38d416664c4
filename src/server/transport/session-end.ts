import { constants, type ServerHttp2Session } from 'node:http2';

const {
  NGHTTP2_ENHANCE_YOUR_CALM,
  NGHTTP2_FLOW_CONTROL_ERROR,
  NGHTTP2_INTERNAL_ERROR,
  NGHTTP2_PROTOCOL_ERROR,
} = constants;

/** How nghttp2 numbers what it ends a session for (`nghttp2_error` in nghttp2.h), where it is not a flood. */
const codeOfErrno = new Map<number, number>([
  [-505, NGHTTP2_PROTOCOL_ERROR],
  [-524, NGHTTP2_FLOW_CONTROL_ERROR],
  [-901, NGHTTP2_INTERNAL_ERROR],
  [-903, NGHTTP2_PROTOCOL_ERROR],
]);

/**
 * Has a session that nghttp2 or Node ends for what its client sent tell the client what that was: a flood, of which there is
 * nothing that it might have misunderstood, ENHANCE_YOUR_CALM. Node itself says INTERNAL_ERROR of everything, as if it
 * were the service's fault.
 */
export function tellOffences(session: ServerHttp2Session): void {
  const destroy = session.destroy.bind(session);
  // Node gives null where there is no error.
  session.destroy = (error: Error | null | undefined, code) =>
    destroy(error ?? undefined, code ?? (error ? codeOf(error) : undefined));
}

/**
 * Whether a connection ended because of what its client sent: nghttp2 tells a flood, of frames that it bounds or of
 * unknown ones, as an error of the protocol.
 */
export function isOffence(error: Error): boolean {
  return 'code' in error && String(error.code).startsWith('ERR_HTTP2_');
}

function codeOf(error: Error): number | undefined {
  if (!isOffence(error) || !('errno' in error)) {
    return undefined;
  }
  return codeOfErrno.get(Number(error.errno)) ?? NGHTTP2_ENHANCE_YOUR_CALM;
}
