import { withHiddenEscaped } from './hidden-characters.ts';

const maxCharacters = 64;

/**
 * A text of a caller's, of a source's or from an image, for an error message: quoted, cut at 64 characters, and
 * with what does not show, or steers how it is shown, escaped.
 */
export function quoted(text: string): string {
  // Of a long text no more is looked at than may be needed.
  const characters = Array.from(text.slice(0, 2 * maxCharacters + 2));
  const cut =
    characters.length > maxCharacters ? `${characters.slice(0, maxCharacters).join('')}…` : text;
  return withHiddenEscaped(JSON.stringify(cut));
}
