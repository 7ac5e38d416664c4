import type { IncomingMessage } from 'node:http';
import { pipeline, Readable, type Transform } from 'node:stream';
import { createBrotliDecompress, createInflate } from 'node:zlib';
import { decompress } from '../formats/compression.ts';
import { protocolInvalid } from './source-failure.ts';

const decoders: Readonly<Record<string, (encoded: Readable) => Readable>> = {
  // Of several members or frames, Node's own decoders may end with the first, without a word.
  gzip: (encoded) => Readable.from(decompress('gzip', encoded), { highWaterMark: 1 }),
  'x-gzip': (encoded) => Readable.from(decompress('gzip', encoded), { highWaterMark: 1 }),
  zstd: (encoded) => Readable.from(decompress('zstd', encoded), { highWaterMark: 1 }),
  deflate: (encoded) => through(encoded, createInflate()),
  br: (encoded) => through(encoded, createBrotliDecompress()),
};

/** Errors of either end come out of the decoder. */
function through(encoded: Readable, decoder: Transform): Readable {
  return pipeline(encoded, decoder, () => {});
}

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
  return { body: decoder(response), isEncoded: true };
}
