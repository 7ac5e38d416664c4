import { v7, validate } from 'uuid';
import { invalidField } from '../domain/darkroom-error.ts';
import { quoted } from '../domain/quoted.ts';

declare const idKind: unique symbol;
type Id<Kind extends string> = string & { readonly [idKind]: Kind };

/** Id of an image, a lower-case UUID. */
export type ImageId = Id<'image'>;
/** Id of a task, a lower-case UUID. */
export type TaskId = Id<'task'>;
/** Id of a fault, a lower-case UUID. */
export type FaultId = Id<'fault'>;
/** Id of a blob: the bytes of one image, staged or published. */
export type BlobId = Id<'blob'>;
/** Id of a segment: the bytes that one writer epoch added to a blob. Also its name in the store. */
export type SegmentId = Id<'segment'>;
/** Id of a namespace of metadata definitions. */
export type MetadefNamespaceId = Id<'metadef namespace'>;
/** Id of a metadata definition. */
export type MetadefEntryId = Id<'metadef entry'>;
/** Id of one run of the service process. */
export type ProcessId = Id<'process'>;

/** A new UUIDv7, which sorts by its time of creation (RFC 9562, section 5.7). */
export function newId<T extends Id<string>>(): T {
  return v7() as T;
}

/**
 * Reads an id that a caller sent; upper case is taken and lowered, as RFC 9562 asks.
 *
 * @throws DarkroomError FIELD_INVALID that names `field`.
 */
export function parseId<T extends Id<string>>(text: string, field: string): T {
  if (!validate(text)) {
    throw invalidField(
      field,
      text === ''
        ? 'must be set to a UUID'
        : `must be a UUID such as 0198c2f4-7d1e-7cc3-98c4-dc0c0c07398f, not ${quoted(text)}`,
    );
  }
  return text.toLowerCase() as T;
}
