import type { FieldChecks } from './field-checks.ts';

/**
 * Checks a text that people will read, in a terminal too: of `min` to `max` characters (Unicode code
 * points), in which line breaks and tabs are the only control characters.
 */
export function checkText(
  checks: FieldChecks,
  field: string,
  text: string,
  { min, max }: { readonly min: number; readonly max: number },
): void {
  checks.text(field, text, { min, max, unit: 'characters', controlCharacters: true });
  if (/[^\P{Cc}\n\r\t\0]/u.test(text)) {
    checks.add(field, 'must not have control characters other than line breaks and tabs');
  }
}
