import type { ImportOrder } from '../records/import-order.ts';

/** Shorter ones are no secrets, and would be found by chance: `v=1`, `type=disk`. */
const leastCharacters = 6;

/**
 * A text for people without what an order keeps secret: the query of its address and the values of its
 * headers. A source that quotes them back, as error pages do, would tell them to whoever reads the fault.
 */
export function withoutSecrets(
  text: string,
  { url, headers }: Pick<ImportOrder, 'url' | 'headers'>,
): string {
  const { search = '', hash = '', searchParams } = URL.parse(url ?? '') ?? {};
  const secrets = [
    search.slice(1),
    hash.slice(1),
    ...search
      .slice(1)
      .split('&')
      .map((pair) => pair.replace(/^[^=]*=/, '')),
    ...(searchParams?.values() ?? []),
    ...Object.values(headers),
    ...Object.values(headers).flatMap((value) => value.split(/\s+/)),
  ];
  return secrets
    .flatMap(writtenOtherwise)
    .filter((secret) => secret.length >= leastCharacters)
    .toSorted((a, b) => b.length - a.length)
    .reduce((rest, secret) => withoutCut(rest.replaceAll(secret, '…'), secret), text);
}

/** As they are in addresses, in HTML and in JSON. */
function writtenOtherwise(secret: string): string[] {
  return [
    secret,
    encodeURIComponent(secret),
    secret.replaceAll('&', '&amp;'),
    JSON.stringify(secret).slice(1, -1),
  ];
}

/** What is quoted is cut off somewhere, and that may be in the middle of a secret. */
function withoutCut(text: string, secret: string): string {
  return text.replaceAll(/[^…]+(?=…)/g, (before) => {
    for (
      let length = Math.min(before.length, secret.length);
      length >= leastCharacters;
      length -= 1
    ) {
      if (before.endsWith(secret.slice(0, length))) {
        return before.slice(0, -length);
      }
    }
    return before;
  });
}
