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

/** The message of a body that is one envelope without any flag; undefined where it is anything else. */
export function onlyMessageIn(body: Uint8Array): Uint8Array | undefined {
  const { byteLength } = body;
  const view = new DataView(body.buffer, body.byteOffset, byteLength);
  return byteLength >= prefixBytes &&
    view.getUint8(0) === 0 &&
    view.getUint32(1) === byteLength - prefixBytes
    ? body.subarray(prefixBytes)
    : undefined;
}

async function compressed(
  data: Uint8Array<ArrayBuffer>,
  compression: Compression,
  flags: number,
): Promise<Uint8Array> {
  const envelope = await envelopeCompress({ flags, data }, compression, compressMinBytes);
  return encodeEnvelope(envelope.flags, envelope.data);
}
