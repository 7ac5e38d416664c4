import { once } from 'node:events';
import * as http2 from 'node:http2';
import { fromBinary } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../gen/google/rpc/status_pb.ts';

/** What a server answered on the wire, headers and trailers together. */
export interface RawAnswer {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** With what code the stream was reset, if it was. */
  readonly resetCode: number;
}

/** Posts bytes over HTTP/2 as they are, on a connection of its own; the stream is left open if asked for. */
export async function rawPost(
  url: string,
  path: string,
  contentType: string,
  body: Uint8Array,
  options: { readonly headers?: Record<string, string>; readonly leaveOpen?: boolean } = {},
): Promise<RawAnswer> {
  const session = http2.connect(url);
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': contentType,
      te: 'trailers',
      ...options.headers,
    });
    const headers: Record<string, string> = {};
    const keep = (more: http2.IncomingHttpHeaders): void => {
      for (const [name, value] of Object.entries(more)) {
        headers[name] = String(value);
      }
    };
    stream.on('response', keep);
    stream.on('trailers', keep);
    // A stream that is reset is told by its code.
    stream.on('error', () => {});
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.write(body);
    if (!options.leaveOpen) {
      stream.end();
    }
    await once(stream, 'close');
    return { headers, body: Buffer.concat(parts), resetCode: stream.rstCode ?? 0 };
  } finally {
    session.destroy();
  }
}

/** A message as gRPC frames it, with any length declared. */
export function envelope(
  message: Uint8Array,
  options: { flags?: number; length?: number } = {},
): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(options.flags ?? 0, 0);
  prefix.writeUInt32BE(options.length ?? message.byteLength, 1);
  return Buffer.concat([prefix, message]);
}

/** The status that a gRPC answer has in its trailers; undefined where the answer is not a whole one of gRPC. */
export function statusOf({
  headers,
  resetCode,
}: RawAnswer):
  | { readonly code: number; readonly reason: string | undefined; readonly message: string }
  | undefined {
  if (resetCode !== 0 || headers[':status'] !== '200' || headers['grpc-status'] === undefined) {
    return undefined;
  }
  const trailer = Buffer.from(headers['grpc-status-details-bin'] ?? '', 'base64');
  const infos = fromBinary(StatusSchema, trailer).details.map((detail) =>
    anyUnpack(detail, ErrorInfoSchema),
  );
  return {
    code: Number(headers['grpc-status']),
    reason: infos.find((info) => info !== undefined)?.reason,
    message: decodeURIComponent(headers['grpc-message'] ?? ''),
  };
}
