import { raw } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../database/database.ts';
import type { Caller } from '../access/caller.ts';
import { visibleProject } from '../access/rights.ts';
import { FieldChecks } from '../domain/field-checks.ts';
import { readPage, type PageSlice } from '../lists/keyset.ts';
import { pageSize, type Page } from '../lists/page.ts';
import {
  checkImageFilter,
  imageConditions,
  imageFilterContent,
  imageStatesOf,
} from './image-filter.ts';
import { imageKeysets, imageOrders } from './image-order.ts';
import type { ImageFilter, ListImagesRequest } from './image-requests.ts';
import { viewImages, type ImageView } from './image-view.ts';
import { Image } from '../records/image.ts';

/**
 * Lists the images of the caller's project, in pages.
 *
 * @throws DarkroomError FIELD_INVALID, PAGE_TOKEN_INVALID
 */
export async function listImages(
  database: Database,
  caller: Caller,
  request: ListImagesRequest,
): Promise<Page<ImageView>> {
  const { filter } = request;
  const checks = new FieldChecks();
  const order = checks.oneOf('order_by', request.order ?? 'CREATE_TIME_DESC', imageOrders);
  checks.attempt(() => pageSize(request.pageSize));
  checkImageFilter(checks, 'filter', filter);
  const checked = checks.settle({ order });

  const em = database.fork();
  const query = {
    list: 'images',
    projectId: visibleProject(caller),
    order: checked.order,
    filter: imageFilterContent(filter),
  };
  const page = await readPage(request, query, imageKeysets[checked.order], (slice) =>
    readImages(em, caller, filter, slice),
  );
  return { rows: await viewImages(em, page.rows), nextPageToken: page.nextPageToken };
}

/**
 * Every order has an index that begins with project and state. A page is put together from the first
 * rows of each state's run, in one statement. Measured with 200,000 images, half of them deleted: 1 to
 * 3 ms for a page of 100; with the state as a mere condition, the QUEUED images by size took 160 ms.
 */
async function readImages(
  em: EntityManager,
  caller: Caller,
  filter: ImageFilter,
  slice: PageSlice,
): Promise<readonly Image[]> {
  const states = imageStatesOf(filter);
  if (states.length === 0) {
    return [];
  }
  const conditions = [...imageConditions(filter), slice.after];
  const run =
    `(select id from images where project_id = ? and state = ? and ` +
    conditions.map(({ sql }) => sql).join(' and ') +
    ` order by ${slice.orderBy} limit ?)`;
  const values = states.flatMap((state) => [
    visibleProject(caller),
    state,
    ...conditions.flatMap((condition) => condition.values),
    slice.options.limit,
  ]);
  const runs = states.map(() => run).join(' union all ');
  return em.find(Image, { [raw(`id in (${runs})`, values)]: [] }, slice.options);
}
