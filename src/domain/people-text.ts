import type { FieldChecks } from './field-checks.ts';

/** Checks a text of one or more lines that people will read: of `min` to `max` characters (Unicode code points). */
export function checkText(
  checks: FieldChecks,
  field: string,
  text: string,
  { min, max }: { readonly min: number; readonly max: number },
): void {
  checks.text(field, text, { min, max, unit: 'characters', lineBreaks: true });
}
