import { toldProject } from './reads-for-projects.ts';

/**
 * Rows that are asked for by their ids, each for a project, by many callers in one statement. Whose rows they may be is
 * part of the statement, so that what a project may not see never leaves the database, and an id of somebody else's is
 * to it as one that nobody has, in what it costs, too.
 */

/** How a row that is asked for is found. */
export interface AskedRow {
  /** SQL: what follows `select`. */
  readonly columns: string;
  /** SQL: what follows `from`. */
  readonly from: string;
  /** SQL: which row, by its id `asked_id` and for the project `asked_project`. */
  readonly where: string;
}

/**
 * SQL: each key that was asked for, with its row. The parameters are $1 to $3: `askedValues`. For the service itself: where
 * any project's row will do, `asked_project` is null.
 *
 * A row is looked up by the limit's nested loop, whatever PostgreSQL thinks of the table: it took a join for one by
 * hashes, of the whole table, and 3 to 4 ms for 16 rows in place of 0.4. And the arrays are no constants to it, or it would
 * make a plan for each call anew, of their lengths, which takes longer than to run it.
 */
export function askedRows(row: AskedRow): string {
  return askedOf('asked_project', row, '');
}

/**
 * The same for callers, by `Database.runForProjects`: PostgreSQL is told the project of each key before it looks for its
 * row, and shows none but that project's, whatever the statement forgets.
 *
 * Told by a subquery, whose columns are not moved to where they are used as `set_config` is volatile; and the row is looked for
 * anew after each, as it depends on what was told.
 */
export function askedRowsForProjects(row: AskedRow): string {
  return askedOf(toldProject('asked_project'), row, 'asked_project is not null and');
}

function askedOf(project: string, { columns, from, where }: AskedRow, told: string): string {
  return `
    select asked_key, found.*
      from (select asked_key, asked_id, ${project} as asked_project
              from unnest((select $1::text[]), (select $2::uuid[]), (select $3::text[]))
                   as asked (asked_key, asked_id, asked_project)) as asked
     cross join lateral (select ${columns} from ${from} where ${told} ${where} limit 1) as found`;
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
