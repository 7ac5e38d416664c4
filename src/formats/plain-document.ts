import { quoted } from '../domain/quoted.ts';
import { headBytes, type ImageReader } from './image-reader.ts';
import { mismatch, type Refusal } from './inspection.ts';

/** What servers send in place of a file: a page to log in, or an error. */
export type DocumentKind = 'html' | 'xml' | 'json';

/**
 * The kind of document that bytes are by how they begin, or undefined where they are none, or not text as
 * far as they go: a disk may begin with any character, but not with {@link headBytes} of them.
 *
 * @param head the first {@link headBytes} bytes, or all of fewer.
 */
export function documentIn(head: Uint8Array): DocumentKind | undefined {
  const text = textOf(head, encodingOf(head))?.trimStart();
  return text === undefined ? undefined : patterns.find(([, begins]) => begins.test(text))?.[0];
}

/**
 * The outermost tag of an XML document, such as `<a:B c="d">`, as far as the head goes; undefined where it begins later.
 *
 * @param head the first {@link headBytes} bytes, or all of fewer.
 */
export function outermostTag(head: Uint8Array): string | undefined {
  const text = textOf(head, encodingOf(head)) ?? '';
  // Before it there may be a declaration, comments, instructions and a DTD (XML 1.0, section 2.8).
  const before = /^\s*(?:(?:<\?.*?\?>|<!--.*?-->|<!doctype\s[^>[]*(?:\[.*?\]\s*)?>)\s*)*/is;
  return /^<[a-z_][\w:.-]*[\s/>][^<>]*>?/i.exec(text.replace(before, ''))?.[0];
}

/** Whether bytes are text as a browser tells it (WHATWG, MIME Sniffing, "binary data byte"). */
export function isText(head: Uint8Array): boolean {
  return textOf(head, encodingOf(head)) !== undefined;
}

/**
 * Whether a whole image is text where it ends. Something that only begins as text may still be a disk, to
 * the start of which somebody wrote a file.
 */
export async function endsAsText(image: ImageReader): Promise<boolean> {
  const size = image.wholeSize();
  const encoding = encodingOf(await image.head());
  const last = Math.max(0, size - headBytes);
  // Two bytes may be one character, counted from the first.
  const start = last + (last % 2);
  return textOf(await image.read(start, size - start), encoding) !== undefined;
}

/** The refusal of a document. */
export function plainDocument(kind: DocumentKind, head: Uint8Array): Refusal {
  const text = textOf(head, encodingOf(head)) ?? '';
  return mismatch(
    kind,
    `it is ${names[kind]} and no disk: it begins with ${quoted(text.trim())}. That is what a server answers in place of a file, to ask for a login or to tell an error. Check the address or the file that it comes from`,
  );
}

const names: Readonly<Record<DocumentKind, string>> = {
  html: 'an HTML page',
  xml: 'an XML document',
  json: 'a JSON document',
};

/** In this order, for an HTML page may be XML too. The tags are those by which browsers know HTML. */
const patterns: readonly (readonly [DocumentKind, RegExp])[] = [
  [
    'html',
    /^<(?:!doctype\s+html|!--|(?:html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)[\s/>])/i,
  ],
  ['html', /^<\?xml\s[^>]*>\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)[\s>]/is],
  ['xml', /^<(?:\?xml\s|!doctype\s|[a-z_][\w:.-]*(?:\s*\/?>|\s+[a-z_][\w:.-]*\s*=))/i],
  ['json', /^(?:\{\s*["}]|\[\s*["{\]])/],
];

type Encoding = 'utf-16le' | 'utf-16be' | 'utf-8';

/** As a byte order mark says. What is of none of these still shows its ASCII, which tells enough. */
function encodingOf(head: Uint8Array): Encoding {
  const mark = Buffer.from(head.subarray(0, 2)).toString('hex');
  return mark === 'fffe' ? 'utf-16le' : mark === 'feff' ? 'utf-16be' : 'utf-8';
}

function textOf(bytes: Uint8Array, encoding: Encoding): string | undefined {
  // A character that is cut off at the end is left out.
  const text = new TextDecoder(encoding).decode(bytes, { stream: true });
  return /[^\P{Cc}\t\n\f\r]/u.test(text) ? undefined : text;
}
