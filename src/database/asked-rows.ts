/**
 * Rows that are asked for by their ids, each for a project, by many callers in one statement. Whose rows they may be is
 * part of the statement, so that what a project may not see never leaves the database, and an id of somebody else's is
 * to it as one that nobody has, in what it costs, too.
 */

/**
 * SQL: each key that was asked for, with its row. The parameters are $1 to $3: `askedValues`.
 *
 * A row is looked up by the limit's nested loop, whatever PostgreSQL thinks of the table: it took a join for one by
 * hashes, of the whole table, and 3 to 4 ms for 16 rows in place of 0.4. And the arrays are no constants to it, or it would
 * make a plan for each call anew, of their lengths, which takes longer than to run it.
 *
 * @param select the row of the id `asked_id` for the project `asked_project`, which is null where any project's will do.
 */
export function askedRows(select: string): string {
  return `
    select asked_key, found.*
      from unnest((select $1::text[]), (select $2::uuid[]), (select $3::text[]))
           as asked (asked_key, asked_id, asked_project)
     cross join lateral (${select} limit 1) as found`;
}

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
