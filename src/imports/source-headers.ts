import type { FieldChecks } from '../domain/field-checks.ts';
import { quoted } from '../domain/quoted.ts';

const maxHeaders = 32;
const maxBytes = 8192;
/** RFC 9110, section 5.6.2. */
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110, section 5.5, in ASCII. */
const fieldValue = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/;

/** What the service says of its own accord, or what frames the message. */
const ownHeaders: ReadonlySet<string> = new Set([
  'accept-encoding', 'connection', 'content-length', 'expect', 'host', 'if-match', 'if-modified-since',
  'if-none-match', 'if-range', 'if-unmodified-since', 'keep-alive', 'proxy-authorization',
  'proxy-connection', 'range', 'te', 'trailer', 'transfer-encoding', 'upgrade',
]); // prettier-ignore

/** Checks the headers that a caller wants sent to the source. A violation never tells a value. */
export function checkSourceHeaders(
  checks: FieldChecks,
  field: string,
  headers: Readonly<Record<string, string>>,
): void {
  const entries = Object.entries(headers);
  const bytes = entries.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
  if (entries.length > maxHeaders || bytes > maxBytes) {
    checks.add(field, `must have at most ${maxHeaders} entries, and ${maxBytes} bytes in all`);
    return;
  }
  const seen = new Set<string>();
  for (const [name, value] of entries) {
    const entry = `${field}[${quoted(name)}]`;
    const lowerName = name.toLowerCase();
    if (!token.test(name)) {
      checks.add(entry, 'must be a header name');
    } else if (ownHeaders.has(lowerName)) {
      checks.add(entry, 'is a header that the service sets itself');
    } else if (seen.has(lowerName)) {
      checks.add(entry, 'is given twice, in different cases');
    } else if (!fieldValue.test(value)) {
      checks.add(entry, 'must be printable ASCII without line breaks, and not empty');
    }
    seen.add(lowerName);
  }
}
