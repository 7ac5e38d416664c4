import type { IncomingMessage, ServerResponse } from 'node:http';
import { rangeOf, serves, servesInPieces, type SourceHandler } from './source-server.ts';

/** How a part of an image is announced, right or wrong. */
export interface PartAnswer {
  /** First byte that is sent. */
  readonly start: number;
  /** The byte after the last one that is sent. */
  readonly end: number;
  /** The header; `null` for none, and the true one if not given. */
  readonly contentRange?: string | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly etag?: string;
}

/** Sends a part of an image with 206 and a clean end. */
export function sendPart(
  response: ServerResponse,
  bytes: Uint8Array,
  { start, end, contentRange, headers = {}, etag = '"one"' }: PartAnswer,
): void {
  const range = contentRange ?? `bytes ${start}-${end - 1}/${bytes.byteLength}`;
  response.writeHead(206, {
    etag,
    'content-length': end - start,
    ...(contentRange !== null && { 'content-range': range }),
    ...headers,
  });
  response.end(bytes.subarray(start, end));
}

/** A source that breaks off once after so many bytes, and then answers requests for the rest as it likes. */
export function breaksOnce(
  bytes: Uint8Array,
  cut: number,
  answerRest: (response: ServerResponse, start: number, request: IncomingMessage) => void,
): SourceHandler {
  const first = servesInPieces(bytes, [cut]);
  return (request, response, number) => {
    const { start, isPart } = rangeOf(request, '"one"');
    if (number === 1) {
      first(request, response, number);
    } else if (isPart) {
      answerRest(response, start, request);
    } else {
      serves(bytes)(request, response, number);
    }
  };
}
