/** A name, `*.` before it for all below it, or an address. */
const hostPattern = /^(?:\*\.)?[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$|^[0-9a-f:.]+$/i;

/** Whether a text can be what `matchesHost` compares with. */
export function isHostPattern(text: string): boolean {
  return hostPattern.test(text);
}

/** A URL's host as `net` and `dns` take it: without brackets, and without a dot at its end. */
export function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
}

/**
 * Whether a host is the one that is meant.
 *
 * @param host in lower case, as `hostOf` gives it.
 * @param pattern a name or an address in any case; `*.` before a name stands for all below it, but not for itself.
 */
export function matchesHost(host: string, pattern: string): boolean {
  const wanted = pattern.toLowerCase();
  return wanted.startsWith('*.') ? host.endsWith(wanted.slice(1)) : host === wanted;
}
