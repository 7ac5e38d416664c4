import { encodeEnvelope, envelopeCompress, type Compression } from '@connectrpc/connect/protocol';
import { compressMinBytes } from './compression.ts';

const prefixBytes = 5;

/** A message of a stream with what stands before it: whether it is compressed, and its length. In gRPC and Connect alike. */
export type Envelope = Uint8Array | Promise<Uint8Array>;

/**
 * Puts a message into its envelope, at once unless it is to be compressed.
 *
 * @param parts the message; pieces of protobuf one after the other are the message with all their fields.
 * @param compression what was negotiated; null for none.
 */
export function envelopeOf(
  parts: readonly Uint8Array[],
  compression: Compression | null,
  flags = 0,
): Envelope {
  const length = parts.reduce((sum, part) => sum + part.byteLength, 0);
  // Of Node's pool: memory of its own for each of many small messages costs more than the copy.
  const envelope = Buffer.allocUnsafe(prefixBytes + length);
  envelope.writeUInt8(flags, 0);
  envelope.writeUInt32BE(length, 1);
  let end = prefixBytes;
  for (const part of parts) {
    envelope.set(part, end);
    end += part.byteLength;
  }
  if (compression === null || length < compressMinBytes) {
    return envelope;
  }
  return compressed(envelope.subarray(prefixBytes), compression, flags);
}

/**
 * The message of a body that is one envelope without any flag; 'incomplete' where it is the beginning of one that is not
 * longer than `maxBytes` in all; undefined where it is anything else.
 */
export function onlyMessageIn(
  body: Uint8Array,
  maxBytes: number,
): Uint8Array | 'incomplete' | undefined {
  const { byteLength } = body;
  if (byteLength < prefixBytes) {
    return 'incomplete';
  }
  const view = new DataView(body.buffer, body.byteOffset, byteLength);
  const wholeBytes = prefixBytes + view.getUint32(1);
  if (view.getUint8(0) !== 0 || byteLength > wholeBytes || wholeBytes > maxBytes) {
    return undefined;
  }
  return byteLength < wholeBytes ? 'incomplete' : body.subarray(prefixBytes);
}

async function compressed(
  data: Uint8Array<ArrayBuffer>,
  compression: Compression,
  flags: number,
): Promise<Uint8Array> {
  const envelope = await envelopeCompress({ flags, data }, compression, compressMinBytes);
  return encodeEnvelope(envelope.flags, envelope.data);
}
