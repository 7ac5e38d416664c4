import type { IncomingMessage } from 'node:http';
import { pipeline, type Readable, type Transform } from 'node:stream';
import {
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
} from 'node:zlib';
import { protocolInvalid } from './source-failure.ts';

const decoders: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};

/** Whether the body of an answer is compressed for the transfer. */
export function isEncoded(response: IncomingMessage): boolean {
  return !['', 'identity'].includes(encodingOf(response));
}

function encodingOf({ headers }: IncomingMessage): string {
  return (headers['content-encoding'] ?? '').trim().toLowerCase();
}

/**
 * The body of an answer without the compression of its transfer, which nobody asked for and some servers
 * do all the same. It comes piece by piece: whoever reads it bounds what it expands to.
 *
 * @throws DarkroomError SOURCE_PROTOCOL_INVALID for an encoding that is not known, or more than one.
 */
export function decodedBody(
  response: IncomingMessage,
  name: string,
): { readonly body: Readable; readonly isEncoded: boolean } {
  if (!isEncoded(response)) {
    return { body: response, isEncoded: false };
  }
  const encoding = encodingOf(response);
  const decoder = Object.hasOwn(decoders, encoding) ? decoders[encoding] : undefined;
  if (decoder === undefined) {
    throw protocolInvalid(`${name} sends with a content-encoding that is not known.`);
  }
  // Errors of either end come out of the body.
  return { body: pipeline(response, decoder(), () => {}), isEncoded: true };
}
