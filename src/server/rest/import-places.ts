import { DarkroomError } from '../../domain/darkroom-error.ts';
import { quoted } from '../../domain/quoted.ts';
import { importIntoImage, type ImportIntoParts } from '../../images/import-into-image.ts';
import { latestTask } from '../../images/upload-target.ts';
import { imageNotFound, readImage, readOwnImage } from '../../access/find-image.ts';
import type { ImageId, TaskId } from '../../records/ids.ts';
import type { StreamPace } from '../../uploads/receiving/stream-watchdog.ts';
import type { UploadService } from '../../uploads/receiving/upload-service.ts';
import type { HttpCall } from '../http/http-endpoints.ts';
import { taskPath } from '../http/task-path.ts';
import { imageIdIn } from './id-in-path.ts';
import { imagePath } from './image-view.ts';
import { importRequest, type ImportRequest } from './import-request.ts';
import { jsonBody } from './json-body.ts';
import type { Place } from './place.ts';
import { refusedField, RestError } from './rest-error.ts';
import { storeId } from './upload/store.ts';

/** What it takes to import into images. */
export interface ImportPlacesParts extends ImportIntoParts {
  readonly uploads: UploadService;
  /** What clients must keep up that send a request. */
  readonly pace: StreamPace;
}

/** Reasons for which an import is a conflict with how the image is, to Glance. */
const conflicts: ReadonlySet<string> = new Set([
  'FORMAT_NOT_SET',
  'IMAGE_STATE_INVALID',
  'TASK_STATE_INVALID',
  'TASK_TERMINAL',
  'TASK_EXPIRED',
  'WRITER_ACTIVE',
]);

/** Where images are imported. */
export function importPlaces(parts: ImportPlacesParts): readonly Place[] {
  const { database, uploads } = parts;

  async function begin(
    call: HttpCall,
    imageId: ImageId,
    request: ImportRequest,
  ): Promise<TaskId | undefined> {
    const { caller } = call.context;
    switch (request.method) {
      case 'glance-direct': {
        const image = await readOwnImage(database, caller, imageId);
        const { id } = await latestTask(database, image);
        await uploads.importStaged(caller, id, call.context.requestId);
        return id;
      }
      case 'web-download': {
        const task = await importIntoImage(parts, caller, imageId, {
          kind: 'copy_from',
          from: { kind: 'url', url: request.uri },
          totalSize: undefined,
          sha256: undefined,
          sha512: undefined,
          maxSizeBytes: undefined,
          headers: {},
        });
        return task.id;
      }
      case 'copy-image':
        await requireCopyable(call, imageId, request.stores);
        return undefined;
    }
  }

  /** There is one store, and every ACTIVE image is in it: there is nothing to copy, or it is there already. */
  async function requireCopyable(
    { context }: HttpCall,
    imageId: ImageId,
    stores: readonly string[] | undefined,
  ): Promise<void> {
    const { state } = await readImage(database, context.caller, imageId);
    if (state !== 'ACTIVE') {
      throw new RestError(
        409,
        'IMAGE_STATE_INVALID',
        `Image ${imageId} is ${state}, and only an ACTIVE one can be copied to another store.`,
      );
    }
    if (stores !== undefined) {
      throw new RestError(
        400,
        'IMAGE_STATE_INVALID',
        `Image ${imageId} is already present at store '${storeId}'.`,
      );
    }
  }

  async function importImage(call: HttpCall): Promise<void> {
    const imageId = imageIdIn(call);
    call.context.outcome.subject = { imageId };
    const header = call.request.headers['x-image-meta-store'];
    const request = importRequest(
      await jsonBody(call, parts.pace),
      typeof header === 'string' ? header : undefined,
    );
    const { response } = call;
    try {
      const taskId = await begin(call, imageId, request);
      if (taskId !== undefined) {
        call.context.outcome.subject = { imageId, taskId };
        response.setHeader('location', taskPath(taskId));
        response.setHeader('link', `<${taskPath(taskId)}>; rel="monitor"`);
      }
      response.statusCode = 202;
      response.end();
    } catch (error) {
      const isConflict =
        error instanceof DarkroomError &&
        !(error instanceof RestError) &&
        conflicts.has(error.reason);
      throw isConflict ? RestError.of(error, 409) : error;
    }
  }

  /** What is in one store alone is not removed from it: the image would be left without its bytes. */
  async function keepInStore(call: HttpCall): Promise<void> {
    const { store } = call.params;
    if (store !== storeId) {
      throw refusedField(409, 'store', `${quoted(store ?? '')} is not there, only ${storeId}`);
    }
    const imageId = imageIdIn(call);
    const { state } = await readOwnImage(database, call.context.caller, imageId);
    if (state === 'DELETED') {
      throw imageNotFound(imageId);
    }
    throw new RestError(
      state === 'ACTIVE' ? 403 : 409,
      'IMAGE_STATE_INVALID',
      state === 'ACTIVE'
        ? `Image ${imageId} is in no other store, and would be left without its bytes. Delete the image, if it is to go.`
        : `Image ${imageId} is ${state}, and in no store yet.`,
    );
  }

  return [
    { path: `${imagePath(':id')}/import`, methods: { POST: importImage } },
    { path: '/v2/stores/:store/:id', methods: { DELETE: keepInStore } },
  ];
}
