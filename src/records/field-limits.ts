import type { FieldChecks, TextLimits } from '../domain/field-checks.ts';
import { visibilities, type Visibility } from './image.ts';

/** How many tags, and how many properties, an image has at most. */
export const maxTags = 128;
export const maxProperties = 128;

const nameLimits: TextLimits = { min: 1, max: 255, unit: 'characters', lineBreaks: false };
const tagLimits: TextLimits = { ...nameLimits, lineBreaks: true };
const propertyLimits = {
  maxEntries: maxProperties,
  key: tagLimits,
  value: { min: 0, max: 1024, unit: 'bytes', lineBreaks: true },
} as const satisfies Parameters<FieldChecks['textMap']>[2];
const labelLimits = {
  maxEntries: 64,
  key: { min: 1, max: 63, unit: 'characters', lineBreaks: true },
  value: { min: 0, max: 255, unit: 'characters', lineBreaks: true },
} as const satisfies Parameters<FieldChecks['textMap']>[2];

/** Checks an image's name, or the beginning of one: at most 255 characters, no line breaks or tabs; empty for none. */
export function checkName(checks: FieldChecks, field: string, name: string): void {
  checks.text(field, name, { ...nameLimits, min: 0 });
}

/** Checks a format, which may not be known yet; answers null for that. */
export function checkFormat<Format extends string>(
  checks: FieldChecks,
  field: string,
  format: string | null | undefined,
  allowed: readonly Format[],
): Format | null | undefined {
  return format === undefined || format === null ? null : checks.oneOf(field, format, allowed);
}

/** Checks a project's id as whoever knows callers gives it: 1 to 255 characters, no line breaks or tabs. */
export function checkProjectId(checks: FieldChecks, field: string, projectId: string): void {
  checks.text(field, projectId, nameLimits);
}

/** Checks a size in bytes: 0 to `max`, by default the largest number that JavaScript counts exactly. */
export function checkSize(
  checks: FieldChecks,
  field: string,
  size: number,
  max: number = Number.MAX_SAFE_INTEGER,
): void {
  checks.wholeNumber(field, size, 0, max);
}

/** Checks tags: at most 128 of 1 to 255 characters each, no duplicates. */
export function checkTags(checks: FieldChecks, field: string, tags: readonly string[]): void {
  if (tags.length > maxTags) {
    checks.add(field, `must have at most ${maxTags} entries, not ${tags.length}`);
    return;
  }
  const seen = new Map<string, number>();
  for (const [i, tag] of tags.entries()) {
    const first = seen.get(tag);
    if (first !== undefined) {
      checks.add(`${field}[${i}]`, `must not repeat ${field}[${first}]`);
    } else {
      checks.text(`${field}[${i}]`, tag, tagLimits);
      seen.set(tag, i);
    }
  }
}

/** Checks properties: at most 128, keys of 1 to 255 characters, values of at most 1,024 bytes. */
export function checkProperties(
  checks: FieldChecks,
  field: string,
  properties: Readonly<Record<string, string>>,
): void {
  checks.textMap(field, properties, propertyLimits);
}

/** Checks a task's labels: at most 64, keys of 1 to 63 characters, values of at most 255. */
export function checkLabels(
  checks: FieldChecks,
  field: string,
  labels: Readonly<Record<string, string>>,
): void {
  checks.textMap(field, labels, labelLimits);
}

/** Checks the sha256 that a caller states: 64 hex digits in either case. */
export function checkSha256(checks: FieldChecks, field: string, sha256: string): void {
  if (!/^[0-9a-f]{64}$/i.test(sha256)) {
    checks.add(field, 'must be 64 hex digits');
  }
}

/** Checks the sha512 that a caller states: 128 hex digits in either case. */
export function checkSha512(checks: FieldChecks, field: string, sha512: string): void {
  if (!/^[0-9a-f]{128}$/i.test(sha512)) {
    checks.add(field, 'must be 128 hex digits');
  }
}

/** Checks a request id: at most 128 printable ASCII characters; an empty one stands for none. */
export function checkRequestId(checks: FieldChecks, field: string, requestId: string): void {
  if (!/^[\x20-\x7e]{0,128}$/.test(requestId)) {
    checks.add(field, 'must be at most 128 printable ASCII characters');
  }
}

/** Checks how long a task waits for the next sign of life: 1 s to 7 days. */
export function checkIdleTimeout(checks: FieldChecks, field: string, ms: number): void {
  // Not "ms < 1000 || …", which would let NaN through.
  if (!(ms >= 1000 && ms <= maxIdleTimeoutMs)) {
    checks.add(field, 'must be from 1 s to 7 days (604800 s)');
  }
}

/** The visibility that a caller asks for, PRIVATE if it names none. */
export function checkVisibility(
  checks: FieldChecks,
  field: string,
  visibility: string | undefined,
): Visibility | undefined {
  return checks.oneOf(field, visibility ?? 'PRIVATE', visibilities);
}

const maxIdleTimeoutMs = 7 * 24 * 3600 * 1000;
