import { invalidField } from '../domain/darkroom-error.ts';

/** Which page of a list a caller asks for, as it was sent. */
export interface PageRequest {
  /** Largest number of rows; 0 stands for the default. */
  readonly pageSize: number;
  /** The `nextPageToken` of the page before; empty for the first. */
  readonly pageToken: string;
}

/** One page of a list. */
export interface Page<T> {
  readonly rows: readonly T[];
  /** Gets the next page; empty on the last. */
  readonly nextPageToken: string;
}

const defaultPageSize = 100;
const maxPageSize = 1000;

/**
 * The number of rows that a page has at most: 100 where 0 is asked for, never more than 1,000.
 *
 * @throws DarkroomError FIELD_INVALID that names `page_size` for one below 0.
 */
export function pageSize(requested: number): number {
  if (!Number.isInteger(requested) || requested < 0) {
    throw invalidField('page_size', `must be a whole number of 0 or more, not ${requested}`);
  }
  return requested === 0 ? defaultPageSize : Math.min(requested, maxPageSize);
}
