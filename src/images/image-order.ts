import { FieldChecks } from '../domain/field-checks.ts';
import type { KeyColumn, Keyset } from '../lists/keyset.ts';
import type { Image } from '../records/image.ts';

/** Orders of ListImages, as in the contract's enum without its prefix. */
export const imageOrders = [
  'CREATE_TIME_DESC',
  'CREATE_TIME_ASC',
  'UPDATE_TIME_DESC',
  'NAME_ASC',
  'SIZE_DESC',
] as const;
export type ImageOrder = (typeof imageOrders)[number];

/** One key of an order that is put together. */
export interface ImageSort {
  readonly key: ImageSortKey;
  readonly direction: 'asc' | 'desc';
}

/** An order as a caller has chosen it. */
export interface ChosenOrder {
  /** Another one for every order; short. */
  readonly name: string;
  readonly keyset: Keyset<ImagePlace>;
}

/** What an image's place in a list is known by, in all orders. */
export const placeProperties = [
  'id',
  'createTime',
  'updateTime',
  'name',
  'sizeBytes',
  'state',
  'deactivated',
  'diskFormat',
  'containerFormat',
] as const satisfies readonly (keyof Image)[];
export type ImagePlace = Pick<Image, (typeof placeProperties)[number]>;

const id = { sql: 'id', kind: 'uuid', of: (image: ImagePlace) => image.id } as const;
const createTime = {
  sql: 'create_time',
  kind: 'time',
  of: (image: ImagePlace) => image.createTime.getTime(),
} as const;
const updateTime = {
  sql: 'update_time',
  kind: 'time',
  of: (image: ImagePlace) => image.updateTime.getTime(),
} as const;
// PostgreSQL's "C" collation compares UTF-8 bytes, which is the order of code points.
const name = {
  sql: 'name collate "C"',
  kind: 'text',
  of: (image: ImagePlace) => image.name,
} as const;
/** Images without a size come last, as if they had less than none. */
const size = {
  sql: 'coalesce(size_bytes, -1)',
  kind: 'integer',
  of: (image: ImagePlace) => image.sizeBytes ?? -1,
} as const;

/** What images can be sorted by. For each there are indexes with just this and the id, behind the project, and behind the visibility. */
const sortColumns = {
  CREATE_TIME: createTime,
  UPDATE_TIME: updateTime,
  NAME: name,
  SIZE: size,
  ID: id,
  STATE: {
    sql: `(case when deactivated then 'deactivated' else lower(state) end) collate "C"`,
    kind: 'text',
    of: ({ deactivated, state }) => (deactivated ? 'deactivated' : state.toLowerCase()),
  },
  DISK_FORMAT: {
    sql: `coalesce(disk_format, '') collate "C"`,
    kind: 'text',
    of: (image) => image.diskFormat ?? '',
  },
  CONTAINER_FORMAT: {
    sql: `coalesce(container_format, '') collate "C"`,
    kind: 'text',
    of: (image) => image.containerFormat ?? '',
  },
} as const satisfies Record<string, KeyColumn<ImagePlace>>;

/** A key of `sortColumns`. */
export type ImageSortKey = keyof typeof sortColumns;

const orders: Readonly<Record<ImageOrder, readonly ImageSort[]>> = {
  CREATE_TIME_DESC: [{ key: 'CREATE_TIME', direction: 'desc' }],
  CREATE_TIME_ASC: [{ key: 'CREATE_TIME', direction: 'asc' }],
  UPDATE_TIME_DESC: [{ key: 'UPDATE_TIME', direction: 'desc' }],
  NAME_ASC: [{ key: 'NAME', direction: 'asc' }],
  SIZE_DESC: [{ key: 'SIZE', direction: 'desc' }],
};

/**
 * The order that a caller has chosen, by a word of `imageOrders` or by its keys; the newest first for who has chosen none.
 * Ties are broken by the id, in the direction of the first key.
 *
 * @throws DarkroomError FIELD_INVALID
 */
export function chosenOrder(order: string | readonly ImageSort[] | undefined): ChosenOrder {
  if (typeof order !== 'object') {
    const checks = new FieldChecks();
    const word = checks.oneOf('order_by', order ?? 'CREATE_TIME_DESC', imageOrders);
    const checked = checks.settle({ word });
    return { name: checked.word, keyset: keysetOf(orders[checked.word]) };
  }
  const all = order.length === 0 ? orders.CREATE_TIME_DESC : order;
  return {
    name: all.map(({ key, direction }) => `${key} ${direction}`).join(', '),
    keyset: keysetOf(all),
  };
}

function keysetOf(sorts: readonly ImageSort[]): Keyset<ImagePlace> {
  const direction = sorts[0]?.direction ?? 'desc';
  const isUnique = sorts.some(({ key }) => key === 'ID');
  const all: readonly ImageSort[] = isUnique ? sorts : [...sorts, { key: 'ID', direction }];
  return {
    columns: all.map(({ key, direction: own }) => inDirection(sortColumns[key], own)),
    direction,
  };
}

function inDirection(
  { sql, kind, of }: KeyColumn<ImagePlace>,
  direction: ImageSort['direction'],
): KeyColumn<ImagePlace> {
  return { sql, kind, of, direction };
}
