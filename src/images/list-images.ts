import type { Database } from '../database/database.ts';
import type { Caller } from '../access/caller.ts';
import { visibleProject } from '../access/rights.ts';
import { FieldChecks } from '../domain/field-checks.ts';
import { readFoundRuns } from '../database/read-runs.ts';
import type { Placed } from '../domain/placed.ts';
import { readPage, type PageSlice } from '../lists/keyset.ts';
import { pageSize, type Page } from '../lists/page.ts';
import { checkImageFilter, imageConditions, imageFilterContent } from './image-filter.ts';
import {
  chosenOrder,
  imageOrders,
  placeProperties,
  type ChosenOrder,
  type ImagePlace,
} from './image-order.ts';
import type { ImageFilter, ListImagesRequest } from './image-requests.ts';
import { readImageViews, type ImageView } from './image-view.ts';
import { visibleRuns } from './visible-runs.ts';
import { parseId, type ImageId } from '../records/ids.ts';
import { Image } from '../records/image.ts';
import { readImage } from '../access/find-image.ts';

/**
 * Lists the images that the caller may see, in pages.
 *
 * @throws DarkroomError FIELD_INVALID, PAGE_TOKEN_INVALID; IMAGE_NOT_FOUND for the image after which it is to begin.
 */
export async function listImages(
  database: Database,
  caller: Caller,
  request: ListImagesRequest,
): Promise<Page<ImageView>> {
  const { filter } = request;
  const checks = new FieldChecks();
  const order = checks.attempt(() => chosenOrder(request.order));
  checks.attempt(() => pageSize(request.pageSize));
  const after =
    request.after === undefined
      ? null
      : checks.attempt(() => parseId<ImageId>(request.after ?? '', 'after'));
  checkImageFilter(checks, 'filter', filter);
  const checked = checks.settle({ order, after });

  const query = {
    list: 'images',
    projectId: visibleProject(caller),
    order: checked.order.name,
    filter: imageFilterContent(filter),
  };
  const page = await readPage(
    request,
    query,
    checked.order.keyset,
    (slice) => readImages(database, checked.order, caller, filter, slice),
    checked.after === null ? undefined : await readImage(database, caller, checked.after),
  );
  return {
    rows: await readImageViews(database, caller, page.rows),
    nextPageToken: page.nextPageToken,
  };
}

/**
 * Every order has an index that begins with project and state, and one that begins with visibility and state, of what
 * all projects see. A page is put together from the first rows of each run, in one statement. Measured with 200,000 images, half of them deleted: 1 to
 * 3 ms for a page of 100; with the state as a mere condition, the QUEUED images by size took 160 ms.
 */
async function readImages(
  database: Database,
  order: ChosenOrder,
  caller: Caller,
  filter: ImageFilter,
  slice: PageSlice,
): Promise<readonly Placed<ImagePlace, Image>[]> {
  const { after, orderBy, limit } = slice;
  const runs = visibleRuns(caller, filter);
  return runs.length === 0
    ? []
    : readFoundRuns(database, Image, placeProperties, visibleProject(caller), {
        name: `${runs.length} runs by ${order.name}${after ? ', further' : ''}`,
        isPrepared: isPlain(filter) && imageOrders.some((word) => word === order.name),
        runs,
        after,
        distinctBy: order.keyset.columns.map(({ sql }) => sql).join(', '),
        orderBy,
        limit,
      });
}

/** Filtered by nothing. */
function isPlain(filter: ImageFilter): boolean {
  return (
    // One, for those that are hidden or not.
    imageConditions(filter).length === 1 &&
    filter.hidden === undefined &&
    filter.states.length === 0 &&
    filter.outlooks.length === 0 &&
    filter.visibilities.length === 0 &&
    filter.memberStatuses.length === 0 &&
    filter.projectId === undefined
  );
}
