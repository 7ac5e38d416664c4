/**
 * A text of a caller's, or from an image, for an error message: quoted, cut at 64 characters, and without
 * characters that steer terminals or do not show.
 */
export function quoted(text: string): string {
  const cut = text.length > 64 ? `${text.slice(0, 64)}…` : text;
  return JSON.stringify(cut).replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, '?');
}
