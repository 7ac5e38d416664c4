const idPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Whether a text is an id as a whole, whatever its case. */
export function isId(text: string): boolean {
  return idPattern.test(text);
}

/** The fewest digits that are taken for the beginning of an id. */
const leastPrefix = 4;

/** Whether a text may be the beginning of an id: it has the dashes where an id has them, if it has any. */
export function isIdPrefix(text: string): boolean {
  const given = text.toLowerCase();
  const digits = given.replaceAll('-', '');
  return (
    digits.length >= leastPrefix &&
    digits.length < 32 &&
    /^[0-9a-f-]+$/.test(given) &&
    (given === digits || given === withDashes(digits) || given === `${withDashes(digits)}-`)
  );
}

/** The beginning of an id in the form in which ids are told. */
export function canonicalPrefix(text: string): string {
  return withDashes(text.replaceAll('-', ''));
}

function withDashes(digits: string): string {
  const parts = [
    [0, 8],
    [8, 12],
    [12, 16],
    [16, 20],
    [20, 32],
  ] as const;
  return parts
    .map(([from, to]) => digits.slice(from, to).toLowerCase())
    .filter((part) => part !== '')
    .join('-');
}

/** How far the clocks of those who make ids and of the database may be apart, in ms. */
const slackMs = 3_600_000;

/** The last time that can be asked for, as protobuf has them, in ms. */
const latestTime = Date.parse('9999-12-31');

/** What is told by the 12 first digits of an id of version 7: when it was made, in ms. */
const timeDigits = 12;

/**
 * When the records were made whose ids begin so, since such ids begin with their time: to look there first saves reading all.
 * Undefined where the beginning is too short to say.
 */
export function timesOfPrefix(
  prefix: string,
): { readonly after: Date; readonly before: Date } | undefined {
  const digits = prefix.replaceAll('-', '').slice(0, timeDigits);
  // Of seven digits it would be 17 minutes, and of six more than four hours.
  if (digits.length < 7) {
    return undefined;
  }
  const first = Number.parseInt(digits.padEnd(timeDigits, '0'), 16);
  const last = Number.parseInt(digits.padEnd(timeDigits, 'f'), 16);
  return last + slackMs > latestTime
    ? undefined
    : { after: new Date(Math.max(0, first - slackMs)), before: new Date(last + slackMs) };
}

/** The least that is shown of an id: its time, so that no two of other milliseconds look alike. */
const leastShown = 13;

/** Each id by as few characters as tell it from the others in the list, and never fewer than 13. */
export function shortened(ids: readonly string[]): ReadonlyMap<string, string> {
  const sorted = [...new Set(ids)].sort();
  return new Map(
    sorted.map((id, index) => {
      const common = Math.max(
        commonLength(id, sorted[index - 1] ?? ''),
        commonLength(id, sorted[index + 1] ?? ''),
      );
      const length = Math.max(leastShown, common + 1);
      return [id, id.slice(0, length).replace(/-$/, '')];
    }),
  );
}

function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) {
    length += 1;
  }
  return length;
}
