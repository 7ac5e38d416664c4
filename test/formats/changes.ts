import { withField, type Field } from './forgeries.ts';

/** A field and its value, in the byte order of its image. */
export type Change = Omit<Field, 'byteOrder'>;
/** A change of a field of 8 bits. */
export const u8 = (offset: number, value: number): Change => ({ offset, bits: 8, value });
/** A change of a field of 16 bits. */
export const u16 = (offset: number, value: number): Change => ({ offset, bits: 16, value });
/** A change of a field of 32 bits. */
export const u32 = (offset: number, value: number): Change => ({ offset, bits: 32, value });
/** A change of a field of 64 bits. */
export const u64 = (offset: number, value: number | bigint): Change => ({
  offset,
  bits: 64,
  value,
});
/** The same change further on in the image. */
export const moved = (change: Change, by: number): Change => ({
  ...change,
  offset: change.offset + by,
});

/** The bytes with fields changed. */
export function changed(
  bytes: Uint8Array,
  byteOrder: 'little' | 'big',
  ...changes: Change[]
): Buffer {
  return changes.reduce<Buffer>(
    (bytes, change) => withField(bytes, { ...change, byteOrder }),
    Buffer.from(bytes),
  );
}

/** A row of a test table: what is changed, and what it is refused for. */
export type Row = readonly [found: string, ...changes: Change[]];
