import { invalidField, type DarkroomError } from './darkroom-error.ts';

/**
 * How many marks JSON may have that is read at a stretch: commas, colons, and brackets that open. An image with all tags and properties
 * that it may have takes 600. V8 needs some 0.4 µs for each and, of brackets in brackets, 0.15: a MiB of them held everybody up
 * for 150 ms.
 */
export const maxJsonMarks = 8192;

const quote = 0x22;
const backslash = 0x5c;

/** Counts the marks of JSON as its bytes come, so that it is known how much work it is before any of that is done. */
export class JsonMeasure {
  #marks = 0;
  #isInString = false;
  /** Whether the next byte of a string is escaped. */
  #isEscaped = false;

  /** Whether there are more than are read. */
  get isTooMuch(): boolean {
    return this.#marks > maxJsonMarks;
  }

  /** Counts those of the next bytes, in whatever pieces they come. */
  take(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.byteLength && !this.isTooMuch;) {
      i = this.#isInString ? this.#endOfString(bytes, i) : this.#beginOfString(bytes, i);
    }
  }

  /** Answers where the string goes on after its first escape, or where it has ended. */
  #endOfString(bytes: Uint8Array, start: number): number {
    let i = start;
    if (this.#isEscaped) {
      this.#isEscaped = false;
      i += 1;
    }
    // Searched by machine code: nearly all of a chunk is one string.
    const end = bytes.indexOf(quote, i);
    const upTo = end === -1 ? bytes.byteLength : end;
    const escape = lastRunOf(backslash, bytes, i, upTo);
    if (escape % 2 === 1) {
      this.#isEscaped = true;
      return upTo;
    }
    this.#isInString = end === -1;
    return end === -1 ? upTo : end + 1;
  }

  /** Answers where the next string begins, or the end. */
  #beginOfString(bytes: Uint8Array, start: number): number {
    let marks = 0;
    let i = start;
    for (; i < bytes.byteLength; i += 1) {
      const byte = bytes[i];
      if (byte === quote) {
        this.#isInString = true;
        i += 1;
        break;
      }
      // , : [ {
      if (byte === 0x2c || byte === 0x3a || byte === 0x5b || byte === 0x7b) {
        marks += 1;
      }
    }
    this.#marks += marks;
    return i;
  }
}

/** How many of a byte stand right before `end`, and not before `start`. */
function lastRunOf(byte: number, bytes: Uint8Array, start: number, end: number): number {
  let count = 0;
  while (end - count > start && bytes[end - count - 1] === byte) {
    count += 1;
  }
  return count;
}

/** Whether JSON, in however many pieces, has more marks than are read. */
export function hasTooManyMarks(...pieces: readonly Uint8Array[]): boolean {
  if (pieces.reduce((sum, { byteLength }) => sum + byteLength, 0) <= maxJsonMarks) {
    return false;
  }
  const measure = new JsonMeasure();
  pieces.forEach((piece) => measure.take(piece));
  return measure.isTooMuch;
}

/** The error for JSON that has more marks than are read. @param field where it stands. */
export function tooManyMarks(field: string): DarkroomError {
  return invalidField(
    field,
    `is JSON with more than ${maxJsonMarks} values, which is more than any request needs`,
  );
}
