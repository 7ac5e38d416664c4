import type { Caller } from '../../access/caller.ts';
import type { Database } from '../../database/database.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { ImageService } from '../../images/image-service.ts';
import type { ImageView } from '../../images/image-view.ts';
import { etagOf } from '../../records/image-etag.ts';
import type { StreamPace } from '../../uploads/receiving/stream-watchdog.ts';
import { weakEtag } from '../http/conditional-get.ts';
import { sendJson, type HttpCall } from '../http/http-endpoints.ts';
import { taskPath } from '../http/task-path.ts';
import { goneIfDeleted, requireNotDeleted } from './deleted-image.ts';
import { imageIdIn, subject } from './id-in-path.ts';
import { imageCreateRequest } from './image-create-request.ts';
import { imageListRequest, listImagesRequest, pagingParameters } from './image-list-request.ts';
import { patchedImage, patchSteps, patchTypes, type PatchForm } from './image-patch.ts';
import { imagePath, imageView, type ShownImage } from './image-view.ts';
import { contentTypeOf, jsonBody } from './json-body.ts';
import { linkTo } from './link.ts';
import type { Place } from './place.ts';
import { sendNothing, sendView } from './rest-answer.ts';
import { RestError } from './rest-error.ts';
import { shownImages } from './shown-images.ts';
import { importMethods, storeId } from './upload/store.ts';

/** What it takes to keep images. */
export interface ImagePlacesParts {
  readonly database: Database;
  readonly images: ImageService;
  /** What clients must keep up that send a request. */
  readonly pace: StreamPace;
}

/** Where images are made and listed. */
const imagesPath = '/v2/images';

/** Images: what they are called and what is known of them. */
export function imagePlaces({ database, images, pace }: ImagePlacesParts): readonly Place[] {
  async function shown(caller: Caller, view: ImageView): Promise<ShownImage> {
    const [image] = await shownImages(database, caller, [view]);
    if (image === undefined) {
      throw new Error('An image that was read is not shown.');
    }
    return image;
  }

  async function makeImage(call: HttpCall): Promise<void> {
    const { response, context } = call;
    const { caller } = context;
    const request = imageCreateRequest(await jsonBody(call, pace));
    const created = await images.createImage(caller, request);
    const { image, task } = created;
    context.outcome.subject = { imageId: image.id, ...(task && { taskId: task.task.id }) };
    response.setHeader('cache-control', 'no-store');
    response.setHeader('location', imagePath(image.id));
    response.setHeader('openstack-image-import-methods', importMethods.join(','));
    response.setHeader('openstack-image-store-ids', storeId);
    if (task) {
      response.setHeader('link', `<${taskPath(task.task.id)}>; rel="monitor"`);
    }
    sendJson(response, 201, imageView(await shown(caller, created)));
  }

  async function sendImages(call: HttpCall): Promise<void> {
    const { query, context } = call;
    const { caller } = context;
    const request = imageListRequest(query);
    const page =
      request.limit === 0
        ? { rows: [], nextPageToken: '' }
        : await images.listImages(caller, listImagesRequest(request)).catch(asMarker);
    const first = new URLSearchParams(query);
    pagingParameters.forEach((name) => first.delete(name));
    const next = new URLSearchParams(first);
    next.set('marker', page.rows.at(-1)?.image.id ?? '');
    next.set('page_token', page.nextPageToken);
    const rows = await shownImages(database, caller, page.rows);
    sendView(call, {
      images: rows.map(imageView),
      first: linkTo(imagesPath, first),
      next: page.nextPageToken === '' ? undefined : linkTo(imagesPath, next),
      schema: '/v2/schemas/images',
    });
  }

  async function sendImage(call: HttpCall): Promise<void> {
    const { caller } = call.context;
    const view = await images.getImage(caller, imageIdIn(call));
    requireNotDeleted(view.image);
    const image = await shown(caller, view);
    const faults = image.isOwn && image.lastFault ? [image.lastFault.id] : [];
    sendView(call, imageView(image), weakEtag(etagOf(view.image), image.status, ...faults));
  }

  async function changeImage(call: HttpCall): Promise<void> {
    const imageId = subject(call);
    const { caller } = call.context;
    const form = formOf(call);
    const steps = patchSteps(await jsonBody(call, pace, Object.keys(patchTypes)), form);
    const view = await goneIfDeleted(
      images.updateImageAsItIs(caller, imageId, (image) =>
        patchedImage(image, steps, caller.actsAnywhere === true),
      ),
    );
    sendView(call, imageView(await shown(caller, view)));
  }

  async function deleteImage(call: HttpCall): Promise<void> {
    const imageId = subject(call);
    const { caller } = call.context;
    requireNotDeleted((await images.getImage(caller, imageId)).image);
    await images.deleteImage(caller, { imageId, etag: '' });
    sendNothing(call);
  }

  return [
    { path: imagesPath, methods: { GET: sendImages, POST: makeImage } },
    {
      path: imagePath(':id'),
      methods: { GET: sendImage, PATCH: changeImage, DELETE: deleteImage },
    },
  ];
}

/** @throws RestError 415 for a body that is no patch, telling what is one. */
function formOf(call: HttpCall): PatchForm {
  const type = contentTypeOf(call);
  const form = Object.entries(patchTypes).find(([name]) => name === type)?.[1];
  if (form === undefined) {
    const types = Object.keys(patchTypes);
    call.response.setHeader('accept-patch', types.join(', '));
    throw new RestError(
      415,
      'UNSUPPORTED',
      `An image is changed by a patch, whose content type is ${types.join(' or ')}.`,
    );
  }
  return form;
}

/** An image that is not there is the marker's. */
function asMarker(error: unknown): never {
  throw error instanceof DarkroomError && error.reason === 'IMAGE_NOT_FOUND'
    ? new RestError(
        400,
        'FIELD_INVALID',
        `marker names no image that is seen here. ${error.message}`,
      )
    : error;
}
