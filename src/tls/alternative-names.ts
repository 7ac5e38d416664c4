import { isIPv6 } from 'node:net';
import { hostOf } from '../domain/host-name.ts';

/** The names in a certificate, by their kinds (RFC 5280, section 4.2.1.6). Those of other kinds are left out. */
export interface AlternativeNames {
  readonly dns: readonly string[];
  readonly uris: readonly string[];
  readonly emails: readonly string[];
  /** In their usual form (RFC 5952), such as `2001:db8::1`. */
  readonly ips: readonly string[];
}

const kinds = { DNS: 'dns', URI: 'uris', email: 'emails', 'IP Address': 'ips' } as const;

/**
 * Parses the names as Node writes them: `DNS:a.example, URI:"spiffe://a, b"`. A value in which anything could be taken for a
 * separator is a JSON string there (CVE-2021-44532), which is undone here.
 *
 * @param text `X509Certificate.subjectAltName`
 * @returns no name at all where the text is not of that form: a caller must not be told by half of it.
 */
export function alternativeNames(text = ''): AlternativeNames {
  const names = {
    dns: [] as string[],
    uris: [] as string[],
    emails: [] as string[],
    ips: [] as string[],
  };
  const entry = /([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;
  for (let at = 0; at < text.length; at = entry.lastIndex) {
    entry.lastIndex = at;
    const found = entry.exec(text);
    const value = found === null ? undefined : plain(found[2] ?? '');
    if (found === null || value === undefined) {
      return { dns: [], uris: [], emails: [], ips: [] };
    }
    const kind = kinds[found[1] as keyof typeof kinds] as
      (typeof kinds)[keyof typeof kinds] | undefined;
    if (kind !== undefined && value !== '') {
      names[kind].push(kind === 'ips' ? usualForm(value) : value);
    }
  }
  return names;
}

function usualForm(address: string): string {
  return isIPv6(address) ? hostOf(new URL(`http://[${address}]`)) : address;
}

function plain(value: string): string | undefined {
  if (!value.startsWith('"')) {
    return value;
  }
  try {
    return JSON.parse(value) as string;
  } catch {
    return undefined;
  }
}
