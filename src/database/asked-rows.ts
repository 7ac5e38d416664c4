/**
 * Rows that are asked for by their ids, each for a project, by many callers in one statement. Whose rows they may be is
 * part of the statement, so that what a project may not see never leaves the database, and an id of somebody else's is
 * to it as one that nobody has, in what it costs, too.
 */

/**
 * SQL: what was asked for, one row for each key: `asked_key`, `asked_id`, and `asked_project`, which is null where any
 * project's row will do. Its parameters are $1 to $3: `askedValues`.
 */
export const askedRows =
  'unnest($1::text[], $2::uuid[], $3::text[]) as asked (asked_key, asked_id, asked_project)';

/** A row, and whose it must be, as one key, so that those who ask for the same at the same time share it. */
export function askedKey(id: string, projectId: string | undefined): string {
  return projectId === undefined ? id : `${id} ${projectId}`;
}

/** The parameters of `askedRows`. */
export function askedValues(
  keys: readonly string[],
): [readonly string[], readonly string[], readonly (string | null)[]] {
  const ends = keys.map((key) => key.indexOf(' '));
  return [
    keys,
    keys.map((key, i) => (ends[i] === -1 ? key : key.slice(0, ends[i]))),
    keys.map((key, i) => (ends[i] === -1 ? null : key.slice((ends[i] ?? 0) + 1))),
  ];
}
