import { DarkroomError, invalidFields, type FieldViolation } from './darkroom-error.ts';
import { firstHidden } from './hidden-characters.ts';
import { quoted } from './quoted.ts';

/** How long a text may be, and in what. Characters are Unicode code points. */
export interface TextLimits {
  readonly min: number;
  readonly max: number;
  readonly unit: 'characters' | 'bytes';
  /** Whether line breaks and tabs are taken. Other characters that do not show never are. */
  readonly lineBreaks: boolean;
}

/**
 * Collects what is wrong with the fields of a request, so that its sender learns of everything at once.
 * A check that answers a value answers undefined where it noted a violation.
 */
export class FieldChecks {
  readonly #violations: FieldViolation[] = [];
  #bytes = 0;

  /** Notes that a field is wrong; `description` completes "<field> …". */
  add(field: string, description: string): void {
    // Errors travel in headers, which are small: what no longer fits is told when the rest is corrected.
    this.#bytes += Buffer.byteLength(field) + Buffer.byteLength(description);
    if (this.#violations.length === 0 || this.#bytes <= maxBytes) {
      this.#violations.push({ field, description });
    }
  }

  /** Runs a check that throws; notes its violations and answers undefined where it does. */
  attempt<T>(check: () => T): T | undefined {
    try {
      return check();
    } catch (error) {
      if (!(error instanceof DarkroomError) || error.reason !== 'FIELD_INVALID') {
        throw error;
      }
      for (const { field, description } of error.fieldViolations) {
        this.add(field, description);
      }
      return undefined;
    }
  }

  /** A text that reads as what it is, and that PostgreSQL can store, within its limits. */
  text(field: string, value: string, limits: TextLimits): void {
    const problem = textProblem(value, limits);
    if (problem !== undefined) {
      this.add(field, problem);
    }
  }

  /** A whole number from `min` to `max`. */
  wholeNumber(field: string, value: number, min: number, max: number): void {
    if (!Number.isSafeInteger(value) || value < min || value > max) {
      this.add(field, `must be a whole number from ${min} to ${max}`);
    }
  }

  /** One of a few words. */
  oneOf<T extends string>(field: string, value: string, allowed: readonly T[]): T | undefined {
    const found = allowed.find((word) => word === value);
    if (found === undefined) {
      this.add(field, `must be one of ${allowed.join(', ')}, not ${quoted(value)}`);
    }
    return found;
  }

  /** A map of texts with at most `maxEntries` entries. */
  textMap(
    field: string,
    map: Readonly<Record<string, string>>,
    limits: { readonly maxEntries: number; readonly key: TextLimits; readonly value: TextLimits },
  ): void {
    const entries = Object.entries(map);
    if (entries.length > limits.maxEntries) {
      this.add(field, `must have at most ${limits.maxEntries} entries, not ${entries.length}`);
      return;
    }
    for (const [key, value] of entries) {
      const entry = `${field}[${quoted(key)}]`;
      const problem = textProblem(key, limits.key);
      if (problem !== undefined) {
        this.add(entry, `has a key that ${problem}`);
      } else {
        this.text(entry, value, limits.value);
      }
    }
  }

  /**
   * Ends the checks. Answers `values`, what the checks answered: none of it is undefined then.
   *
   * @throws DarkroomError FIELD_INVALID if anything was wrong.
   */
  settle<T extends object>(values: T): { [K in keyof T]: Exclude<T[K], undefined> } {
    if (this.#violations.length > 0) {
      throw invalidFields(this.#violations);
    }
    for (const [name, value] of Object.entries(values)) {
      if (value === undefined) {
        throw new Error(`the check of ${name} failed without a violation`);
      }
    }
    return values as { [K in keyof T]: Exclude<T[K], undefined> };
  }
}

/** Half of what an error's details may take, for the same texts travel in its message too. */
const maxBytes = 2048;

function textProblem(value: string, limits: TextLimits): string | undefined {
  const length = limits.unit === 'bytes' ? Buffer.byteLength(value) : countCodePoints(value);
  if (length < limits.min) {
    return length === 0
      ? 'must not be empty'
      : `must have at least ${limits.min} ${limits.unit}, not ${length}`;
  }
  if (length > limits.max) {
    return `must have at most ${limits.max} ${limits.unit}, not ${length}`;
  }
  if (!value.isWellFormed()) {
    return 'must be well-formed Unicode, without half a surrogate pair';
  }
  if (!limits.lineBreaks && /[\t\r\n]/.test(value)) {
    return 'must not have line breaks or tabs';
  }
  const hidden = firstHidden(value);
  return hidden === undefined
    ? undefined
    : `must not have characters that do not show, or that change how others are shown, such as ${hidden}`;
}

function countCodePoints(text: string): number {
  let count = 0;
  for (const _ of text) {
    count += 1;
  }
  return count;
}
