import { validate } from 'uuid';
import { FieldChecks } from '../../domain/field-checks.ts';
import { quoted } from '../../domain/quoted.ts';
import type { ImageSort, ImageSortKey } from '../../images/image-order.ts';
import type { ImageFilter, ListImagesRequest } from '../../images/image-requests.ts';
import { imageFilter } from './image-list-filter.ts';

/** What a list of images is asked, as Glance has it. */
export interface ImageListRequest {
  /** 0 to 1,000. */
  readonly limit: number;
  /** The images that are wanted. */
  readonly filter: ImageFilter;
  /** Undefined for the newest first. */
  readonly order: readonly ImageSort[] | undefined;
  /** The image after which the page begins. */
  readonly after: string | undefined;
  /** The same, as our own `next` links have it besides: so that a page is not moved by what happens to that image. */
  readonly pageToken: string;
}

/** What only pages the list: a link to its beginning has none of it. */
export const pagingParameters = ['marker', 'page_token'] as const;
const parameters = new Set<string>([...pagingParameters, 'limit', 'sort', 'sort_key', 'sort_dir']);

const defaultLimit = 25;
const maxLimit = 1000;

const sortKeys: Readonly<Record<string, ImageSortKey>> = {
  name: 'NAME',
  status: 'STATE',
  container_format: 'CONTAINER_FORMAT',
  disk_format: 'DISK_FORMAT',
  size: 'SIZE',
  id: 'ID',
  created_at: 'CREATE_TIME',
  updated_at: 'UPDATE_TIME',
};

/**
 * Reads the query of a list of images.
 *
 * @throws DarkroomError FIELD_INVALID
 */
export function imageListRequest(query: URLSearchParams): ImageListRequest {
  const checks = new FieldChecks();
  const filters = [...query].filter(([name]) => !parameters.has(name));
  const filter = imageFilter(checks, filters);
  const limit = query.get('limit') ?? String(defaultLimit);
  if (!/^\d{1,15}$/.test(limit)) {
    checks.add('limit', `must be a whole number of 0 or more, not ${quoted(limit)}`);
  }
  const marker = query.get('marker') ?? undefined;
  if (marker !== undefined && !validate(marker)) {
    checks.add('marker', `must be the id of an image, not ${quoted(marker)}`);
  }
  const order = sortsOf(checks, query);
  checks.settle({});
  return {
    limit: Math.min(Number(limit), maxLimit),
    filter,
    order,
    after: marker,
    pageToken: query.get('page_token') ?? '',
  };
}

/** The same as the domain takes it. */
export function listImagesRequest({ limit, ...request }: ImageListRequest): ListImagesRequest {
  return { ...request, pageSize: limit };
}

/** Either `sort=name:asc,size`, or `sort_key` and `sort_dir`, each as often as there are keys. */
function sortsOf(checks: FieldChecks, query: URLSearchParams): readonly ImageSort[] | undefined {
  const sort = query.get('sort');
  const keys = query.getAll('sort_key');
  const directions = query.getAll('sort_dir');
  if (sort !== null && keys.length + directions.length > 0) {
    checks.add('sort', 'must not be sent together with sort_key or sort_dir');
    return undefined;
  }
  if (sort !== null) {
    return sortList(
      checks,
      sort.split(',').map((part) => {
        const [key = '', direction = 'desc'] = part.split(':');
        return [key.trim(), direction.trim()] as const;
      }),
      'sort',
    );
  }
  if (keys.length + directions.length === 0) {
    return undefined;
  }
  const named = keys.length === 0 ? ['created_at'] : keys;
  if (directions.length > 1 && directions.length !== named.length) {
    checks.add('sort_dir', 'must be sent once, or as often as sort_key');
  }
  return sortList(
    checks,
    named.map((key, i) => [
      key.trim(),
      (directions.length > 1 ? directions[i] : directions[0])?.trim() ?? 'desc',
    ]),
    'sort_key',
  );
}

function sortList(
  checks: FieldChecks,
  parts: readonly (readonly [string, string])[],
  field: string,
): readonly ImageSort[] {
  const sorts = new Map<ImageSortKey, ImageSort>();
  for (const [key, direction] of parts) {
    const word = checks.oneOf(field, key, Object.keys(sortKeys));
    const sortKey = word === undefined ? undefined : sortKeys[word];
    const checked = checks.oneOf(field === 'sort' ? field : 'sort_dir', direction, ['asc', 'desc']);
    // Of a key that is there twice the first one decides.
    if (sortKey !== undefined && checked !== undefined && !sorts.has(sortKey)) {
      sorts.set(sortKey, { key: sortKey, direction: checked });
    }
  }
  return [...sorts.values()];
}
