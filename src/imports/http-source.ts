import type { DeclaredFormat } from '../formats/inspect-image.ts';
import { headersFor, placeOf, type Rest } from './answer-place.ts';
import { decodedBody } from './content-encoding.ts';
import { isOfOtherVersion, validatorOf } from './http-fields.ts';
import { keptBytes } from './kept-bytes.ts';
import type { OpenedSource } from './opened-source.ts';
import { withoutDocument } from './sent-document.ts';
import { failureOfBody, protocolInvalid } from './source-failure.ts';
import { nameOfUrl } from './source-name.ts';
import { askThroughRedirects, passingBehind, type FinalAnswer } from './source-redirects.ts';
import type { Answer, RequestOptions } from './source-request.ts';

/** How sources are read. Times are in ms. */
export interface HttpSourceOptions extends Omit<RequestOptions, 'signal'> {
  readonly maxRedirects: number;
}

/** What is wanted of a source. */
export interface Wanted {
  /** As its caller wrote it. */
  readonly url: string;
  /** For the source; a redirect to another origin does not get them. */
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined for the whole. */
  readonly rest: Rest | undefined;
  /** Bytes that are there already. */
  readonly stored: number;
  /** Whether the size or digest of the whole is known, so that a body that does not say where it ends can be taken. */
  readonly isWholeKnown: boolean;
  /** What the image was said to be. */
  readonly declared: DeclaredFormat;
}

/**
 * Opens a source, following its redirects.
 *
 * @param options with the signal that ends the opening.
 * @throws RangeUnusable if a rest is wanted, and the source does not bring it.
 * @throws DarkroomError any of the SOURCE_ reasons; the signal's; nothing else.
 */
export async function openHttpSource(
  wanted: Wanted,
  options: HttpSourceOptions & Pick<RequestOptions, 'signal'>,
): Promise<OpenedSource> {
  const first = options.reach.parse(wanted.url, 'copy_from.url');
  const final = await askThroughRedirects(first, headersFor(wanted.rest), wanted.headers, options);
  const { answer, redirectedFrom } = final;
  try {
    const source = openBody(final, wanted);
    const image = await withoutDocument(source, answer, wanted.declared, options);
    assertDelimited(image, answer, wanted);
    return image;
  } catch (error) {
    answer.response.destroy();
    throw passingBehind(redirectedFrom, error);
  }
}

function openBody({ answer, redirectedFrom }: FinalAnswer, wanted: Wanted): OpenedSource {
  const { url, response } = answer;
  const { headers, socket } = response;
  const name = nameOfUrl(url);
  const { start, end, size } = placeOf(name, response, wanted.rest, wanted.stored);
  const { body, isEncoded } = decodedBody(response, name);
  const chunks = keptBytes(body);
  let received = 0;
  return {
    name,
    redirectedFrom,
    start,
    end,
    // What they tell is of the encoded bytes.
    size: isEncoded ? undefined : size,
    validator: isEncoded ? undefined : validatorOf(headers),
    isOfOtherVersion: (validator) => isOfOtherVersion(headers, validator),
    body: {
      async next() {
        try {
          const chunk = await chunks.next();
          received += chunk.done === true ? 0 : chunk.value.byteLength;
          return chunk;
        } catch (error) {
          throw failureOfBody(answer.failure ?? error, name, received);
        }
      },
    },
    bytesReceived: () => socket.bytesRead,
    close() {
      response.on('error', () => {});
      body.on('error', () => {});
      response.destroy();
      body.destroy();
    },
  };
}

function assertDelimited(
  { name, end }: OpenedSource,
  { response: { headers } }: Answer,
  { isWholeKnown }: Wanted,
): void {
  const isDelimited =
    headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
  if (end === undefined && !isDelimited && !isWholeKnown) {
    throw protocolInvalid(
      `${name} does not say where the image ends, so that nobody could tell whether it is whole. State ` +
        'its total_size, sha256 or sha512.',
    );
  }
}
