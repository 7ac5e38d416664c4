import { refusedAs, type DeclaredFormat, type Refused } from './inspection.ts';
import { mayBeDescriptor } from './ovf-descriptor.ts';
import { documentIn, isText, plainDocument, type DocumentKind } from './plain-document.ts';
import { signaturesIn } from './signatures.ts';

/**
 * Inspects, for imports, whether what a server sends as the image is a page or an error instead, by its
 * Content-Type and its first bytes together. Both must say so: there are servers that name every file HTML,
 * and disks that begin as text. So it may be asked with the first bytes that come, before any is stored; what
 * it does not tell, {@link inspectImage} does when the bytes are whole.
 *
 * What may be a descriptor in a container OVF is XML, and is left alone.
 *
 * @param contentType the value of the header field as it came; undefined if there is none.
 * @param head the first 512 bytes of the body, decoded if it had a Content-Encoding, or all of fewer.
 * @returns the refusal, with the body's beginning quoted in its message; undefined if there is none.
 */
export function inspectAnswer(
  declared: DeclaredFormat,
  contentType: string | undefined,
  head: Uint8Array,
): Refused | undefined {
  const named = documentNamed(contentType ?? '');
  if (named === undefined || head.byteLength === 0) {
    return undefined;
  }
  if (declared.containerFormat === 'OVF' && mayBeDescriptor(named, head)) {
    return undefined;
  }
  // The descriptor of a VMDK is text, and refused for what it is.
  if (signaturesIn(head).length > 0 || !isText(head)) {
    return undefined;
  }
  return refusedAs(declared, plainDocument(documentIn(head) ?? named, head));
}

/** What a media type says (RFC 9110, 8.3.1; the suffixes of RFC 6839). */
function documentNamed(contentType: string): DocumentKind | undefined {
  const type = contentType.replace(/;.*$/s, '').trim().toLowerCase();
  if (type === 'text/html' || type === 'application/xhtml+xml') {
    return 'html';
  }
  if (/^[^/]+\/(?:.*\+)?json$/.test(type)) {
    return 'json';
  }
  return /^[^/]+\/(?:.*\+)?xml$/.test(type) ? 'xml' : undefined;
}
