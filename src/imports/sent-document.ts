import { settledWithin } from '../domain/settled-within.ts';
import { untilAborted } from '../domain/abortable.ts';
import { quoted } from '../domain/quoted.ts';
import { inspectAnswer } from '../formats/http-answer.ts';
import type { DeclaredFormat } from '../formats/inspect-image.ts';
import type { OpenedSource } from './opened-source.ts';
import { SourceFailure } from './source-failure.ts';
import type { Answer, RequestOptions } from './source-request.ts';

/** So many bytes tell what a document is. */
const headBytes = 512;

/**
 * Refuses a web page or an error document that a source sends as if it were the image: a login page, the
 * portal of a network, a mirror's "not found" with status 200. What the answer says of it, and the first
 * bytes, are looked at before anything else is believed, such as its length.
 *
 * @returns the source with its body at the beginning.
 * @throws DarkroomError SOURCE_NO_IMAGE, SOURCE_STALLED, the body's; the signal's.
 */
export async function withoutDocument(
  source: OpenedSource,
  { response }: Answer,
  declared: DeclaredFormat,
  { responseTimeoutMs, signal }: Pick<RequestOptions, 'responseTimeoutMs' | 'signal'>,
): Promise<OpenedSource> {
  const contentType = response.headers['content-type'];
  if (source.start > 0 || !/html|json|xml/i.test(contentType ?? '')) {
    return source;
  }
  const { body, name } = source;
  const chunks: Buffer[] = [];
  const reading = readHead(body, chunks).then(() => true);
  if (!(await untilAborted(signal, settledWithin(reading, responseTimeoutMs)))) {
    const seconds = responseTimeoutMs / 1000;
    throw new SourceFailure(
      'SOURCE_STALLED',
      `The body did not begin within ${seconds} s: ${name}.`,
      {
        mayPass: true,
      },
    );
  }
  const refused = inspectAnswer(
    declared,
    contentType,
    Buffer.concat(chunks).subarray(0, headBytes),
  );
  if (refused) {
    throw new SourceFailure(
      'SOURCE_NO_IMAGE',
      `The source answered ${response.statusCode} with ${quoted(contentType ?? '')}: ${name}. ${refused.message}`,
      { mayPass: false },
    );
  }
  const next: OpenedSource['body']['next'] = () => {
    const value = chunks.shift();
    return value ? Promise.resolve({ done: false, value }) : body.next();
  };
  return { ...source, body: { next } };
}

async function readHead(body: OpenedSource['body'], into: Buffer[]): Promise<void> {
  for (let length = 0; length < headBytes;) {
    const chunk = await body.next();
    if (chunk.done === true) {
      return;
    }
    into.push(chunk.value);
    length += chunk.value.byteLength;
  }
}
