import type { Keyset } from '../lists/keyset.ts';
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

const id = { sql: 'id', kind: 'uuid', of: (image: Image) => image.id } as const;
const createTime = {
  sql: 'create_time',
  kind: 'time',
  of: (image: Image) => image.createTime.getTime(),
} as const;
const updateTime = {
  sql: 'update_time',
  kind: 'time',
  of: (image: Image) => image.updateTime.getTime(),
} as const;
// PostgreSQL's "C" collation compares UTF-8 bytes, which is the order of code points.
const name = { sql: 'name collate "C"', kind: 'text', of: (image: Image) => image.name } as const;
/** Images without a size come last, as if they had less than none. */
const size = {
  sql: 'coalesce(size_bytes, -1)',
  kind: 'integer',
  of: (image: Image) => image.sizeBytes ?? -1,
} as const;

/** Each order has an index with just these columns, behind the project. */
export const imageKeysets: Readonly<Record<ImageOrder, Keyset<Image>>> = {
  CREATE_TIME_DESC: { columns: [createTime, id], direction: 'desc' },
  CREATE_TIME_ASC: { columns: [createTime, id], direction: 'asc' },
  UPDATE_TIME_DESC: { columns: [updateTime, id], direction: 'desc' },
  NAME_ASC: { columns: [name, id], direction: 'asc' },
  SIZE_DESC: { columns: [size, id], direction: 'desc' },
};
