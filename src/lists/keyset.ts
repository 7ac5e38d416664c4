import { fingerprint, type Fingerprintable } from '../domain/fingerprint.ts';
import type { Placed } from '../domain/placed.ts';
import type { Page, PageRequest } from './page.ts';
import { pageSize } from './page.ts';
import { decodePageToken, encodePageToken, type PageKey, type PageKeyKind } from './page-token.ts';

/** One column of an order. */
export interface KeyColumn<Row> {
  /** SQL of the column, never null, just as in the index that serves the order: `name collate "C"`. */
  readonly sql: string;
  readonly kind: PageKeyKind;
  /** The row's value of it; times as ms since 1970. */
  readonly of: (row: Row) => PageKey;
  /** Where it is not the order's. */
  readonly direction?: Keyset<Row>['direction'];
}

/** An order of rows: columns that are unique together. */
export interface Keyset<Row> {
  readonly columns: readonly KeyColumn<Row>[];
  readonly direction: 'asc' | 'desc';
}

/** A condition in SQL, with `?` for each of its values. */
export interface SqlCondition {
  readonly sql: string;
  readonly values: readonly (string | number)[];
}

/** What it takes to read one page. */
export interface PageSlice {
  /** Holds for the rows after the page before; undefined on the first page. */
  readonly after: SqlCondition | undefined;
  /** What follows `order by`. */
  readonly orderBy: string;
  /** One more than the page holds, to know whether another page follows. */
  readonly limit: number;
}

/**
 * Reads one page of a list. Pages are cut by the keys of their rows and not by counting, so that rows
 * which come, change or go between two pages neither hide nor repeat those that stay as they are. What goes out of the
 * list while it is read is left out, and the page is shorter for it.
 *
 * @param query all that must stay the same from page to page: whose list, filter and order.
 * @param last the row after which the page begins where the request has no token; undefined for the first page.
 * @param read reads the rows of a slice, in its order.
 * @throws DarkroomError FIELD_INVALID for the page size, PAGE_TOKEN_INVALID for the token.
 */
export async function readPage<Place, Row>(
  request: PageRequest,
  query: Fingerprintable,
  keyset: Keyset<Place>,
  read: (slice: PageSlice) => Promise<readonly Placed<Place, Row>[]>,
  last?: Place,
): Promise<Page<Row>> {
  const size = pageSize(request.pageSize);
  const mark = fingerprint(query);
  const kinds = keyset.columns.map((column) => column.kind);
  const after =
    request.pageToken === ''
      ? last && keyset.columns.map((column) => column.of(last))
      : decodePageToken(request.pageToken, mark, kinds);
  const found = await read({
    after: after && rowsAfter(keyset, after),
    orderBy: keyset.columns
      .map(({ sql, direction = keyset.direction }) => `${sql} ${direction}`)
      .join(', '),
    limit: size + 1,
  });
  const shown = found.slice(0, size);
  const end = shown.at(-1)?.place;
  return {
    rows: shown.flatMap(({ row }) => (row === undefined ? [] : [row])),
    nextPageToken:
      end === undefined || found.length <= size
        ? ''
        : encodePageToken(
            mark,
            keyset.columns.map((column) => column.of(end)),
          ),
  };
}

// A row comparison, unlike "a < x or (a = x and b < y)", is one condition on the index.
function rowsAfter<Row>(keyset: Keyset<Row>, keys: readonly PageKey[]): SqlCondition {
  if (keyset.columns.some(({ direction = keyset.direction }) => direction !== keyset.direction)) {
    return rowsAfterInTurn(keyset, keys);
  }
  const columns = keyset.columns.map((column) => column.sql).join(', ');
  const marks = keyset.columns.map(() => '?').join(', ');
  const sign = keyset.direction === 'asc' ? '>' : '<';
  return {
    sql: `(${columns}) ${sign} (${marks})`,
    values: keyset.columns.map(({ kind }, i) => keyValue(kind, keys[i] ?? '')),
  };
}

/** Of columns in both directions, for which there is no row comparison. */
function rowsAfterInTurn<Row>(keyset: Keyset<Row>, keys: readonly PageKey[]): SqlCondition {
  const values = keyset.columns.map(({ kind }, i) => keyValue(kind, keys[i] ?? ''));
  const alternatives = keyset.columns.map(({ sql, direction = keyset.direction }, i) => ({
    sql: [
      ...keyset.columns.slice(0, i).map((column) => `${column.sql} = ?`),
      `${sql} ${direction === 'asc' ? '>' : '<'} ?`,
    ].join(' and '),
    values: values.slice(0, i + 1),
  }));
  return {
    sql: `(${alternatives.map((one) => `(${one.sql})`).join(' or ')})`,
    values: alternatives.flatMap((one) => one.values),
  };
}

function keyValue(kind: PageKeyKind, key: PageKey): PageKey {
  return kind === 'time' ? new Date(key).toISOString() : key;
}

/** The runs of one state each that a slice of a project's rows is put together from, in the table's index of that order. */
export function runsOfStates(
  projectId: string,
  states: readonly string[],
  conditions: readonly SqlCondition[],
  { after, orderBy, limit }: PageSlice,
  order: string,
): {
  readonly name: string;
  readonly runs: readonly SqlCondition[];
  readonly after: SqlCondition | undefined;
  readonly orderBy: string;
  readonly limit: number;
} {
  const sql = ['project_id = ?', 'state = ?', ...conditions.map((condition) => condition.sql)].join(
    ' and ',
  );
  const values = conditions.flatMap((condition) => condition.values);
  return {
    name: `${states.length} states by ${order}${after ? ', further' : ''}`,
    after,
    runs: states.map((state) => ({ sql, values: [projectId, state, ...values] })),
    orderBy,
    limit,
  };
}
