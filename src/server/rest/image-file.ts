import { constants } from 'node:http2';
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { ImageId } from '../../records/ids.ts';
import {
  contentOf,
  downloadImage,
  type DownloadParts,
  type DownloadRange,
  type ImageContent,
} from '../../images/download-image.ts';
import { readImage } from '../../access/find-image.ts';
import { bytesCameIn } from '../../runtime/young-garbage.ts';
import { answerTo } from '../errors/error-mapping.ts';
import type { HttpCall } from '../http/http-endpoints.ts';
import { breakOff } from '../transport/node-http.ts';
import { BodyWriter } from './body-writer.ts';
import { fileAnswer } from './file-request.ts';
import { sendFault } from './rest-answer.ts';

/**
 * Zeros are told about this often, in bytes: however many there are, they are sent while the next are read, and no
 * longer than their client is there.
 */
const longestHole = 1024 * 1024;

/**
 * Answers with the bytes of an image, or the range of them that is asked for, zeros and all. A body that fails on
 * the way breaks off: it never looks whole.
 *
 * @throws as `downloadImage`, as long as nothing was sent.
 */
export async function sendImageFile(
  parts: DownloadParts,
  call: HttpCall,
  imageId: ImageId,
): Promise<void> {
  const { request, context } = call;
  // That of HTTP/2 has all that is used here, but types that do not agree.
  const response = call.response as ServerResponse;
  const { caller } = context;
  const content = contentOf(caller, await readImage(parts.database, caller, imageId));
  const { size } = content;
  const headers = headersOf(content);
  const answer = fileAnswer(request, headers.etag, size);
  switch (answer.status) {
    case 304:
      response.writeHead(304, { etag: headers.etag, 'cache-control': headers['cache-control'] });
      response.end();
      break;
    case 412:
      sendFault(call, 412, `Image ${imageId} has the etag ${headers.etag}, and it never changes.`);
      break;
    case 416:
      response.setHeader('content-range', `bytes */${size}`);
      sendFault(call, 416, `The range begins after the last byte: the image has ${size} bytes.`);
      break;
    case 206: {
      const { start, end } = answer.range;
      const of = { 'content-length': end - start, 'content-range': rangeText(start, end, size) };
      const range = { offset: start, length: end - start };
      await sendBytes(parts, call, imageId, range, () =>
        response.writeHead(206, { ...headers, ...of }),
      );
      break;
    }
    case 200:
      if (request.method === 'HEAD') {
        response.writeHead(200, headers);
        response.end();
        break;
      }
      await sendBytes(parts, call, imageId, { offset: 0, length: undefined }, () =>
        response.writeHead(200, headers),
      );
  }
}

/** @param begin sends the header: not before the first bytes are read, since until then an error can be told. */
async function sendBytes(
  downloads: DownloadParts,
  call: HttpCall,
  imageId: ImageId,
  range: DownloadRange,
  begin: () => void,
): Promise<void> {
  const { request, response, context } = call;
  const writer = new BodyWriter(request, response);
  try {
    const { caller } = context;
    if (writer.isGone) {
      return;
    }
    const parts = downloadImage(downloads, caller, imageId, range, longestHole);
    for await (const part of parts) {
      if (writer.isGone) {
        return;
      }
      if (!response.headersSent) {
        begin();
      }
      if (part.kind === 'chunk') {
        bytesCameIn(part.data.byteLength);
        await writer.write(part.data);
      } else if (part.kind === 'hole') {
        await writer.writeZeros(part.length);
      }
    }
    response.end();
  } catch (error) {
    if (!response.headersSent) {
      throw error;
    }
    context.outcome.failure = answerTo(error, {
      requestId: context.requestId,
      signal: call.signal,
    });
    breakOff(response, constants.NGHTTP2_INTERNAL_ERROR);
  } finally {
    writer.release();
  }
}

/** For the whole image. */
function headersOf({ size, sha256 }: ImageContent) {
  return {
    'content-type': 'application/octet-stream',
    // Whatever is in it, it is no page of this service to a browser.
    'content-disposition': 'attachment',
    'x-content-type-options': 'nosniff',
    'content-length': size,
    'accept-ranges': 'bytes',
    // Strong: these bytes and no others, for ever.
    etag: `"${sha256}"`,
    'repr-digest': `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`,
    'cache-control': 'private, no-cache',
  } satisfies OutgoingHttpHeaders;
}

/** @param end the first byte that is not in the range; HTTP tells the last one that is. */
function rangeText(start: number, end: number, size: number): string {
  return `bytes ${start}-${end - 1}/${size}`;
}
