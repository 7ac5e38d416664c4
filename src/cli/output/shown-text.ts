import { withHiddenEscaped } from '../../domain/hidden-characters.ts';

/**
 * What somebody else has written, on one line and as it reads: what would steer a terminal, or does not show, is escaped;
 * line breaks and tabs are blanks.
 */
export function shownText(text: string): string {
  return withHiddenEscaped(text.replaceAll(/\s*[\r\n\t]\s*/g, ' '));
}
