import { validate } from 'uuid';
import type { Database } from '../../database/database.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { parseId, type ImageId } from '../../records/ids.ts';
import { quoted } from '../../domain/quoted.ts';
import { etagOf } from '../../records/image-etag.ts';
import type { DownloadParts } from '../../images/download-image.ts';
import type { ImageService } from '../../images/image-service.ts';
import { getTask } from '../../tasks/reading/task-queries.ts';
import { TaskReader } from '../../tasks/reading/task-reader.ts';
import { weakEtag } from '../http/conditional-get.ts';
import { sendJson, type HttpCall, type HttpRoute } from '../http/http-endpoints.ts';
import { taskEtag } from '../http/task-etag.ts';
import { apiVersion } from './api-version.ts';
import { sendImageFile } from './image-file.ts';
import { imageSchema } from './image-schema.ts';
import { imagePath, imageView } from './image-view.ts';
import { sendFault, sendThrown, sendView } from './rest-answer.ts';
import { resourceTypeSchema, taskSchema, tasksSchema } from './schemas.ts';
import { taskListRequest } from './task-list-request.ts';
import { listTasksOfGlance } from './task-list.ts';
import { taskView, taskViews, type TaskViewParts } from './task-view.ts';
import { taskPath } from '../http/task-path.ts';

/** What the REST view shows, and how. */
export interface RestParts {
  readonly database: Database;
  readonly downloads: DownloadParts;
  readonly images: ImageService;
  /** How long ended tasks are kept, in ms. */
  readonly historyRetentionMs: number;
}

/** Where something can be read. */
interface Place {
  readonly path: string;
  readonly get: (call: HttpCall) => void | Promise<void>;
}

const changing = ['POST', 'PUT', 'PATCH', 'DELETE'] as const;

/** Limits where a list is asked for none. Glance does not page the tasks of an image at all. */
const defaultLimit = 25;
const defaultLimitOfImage = 1000;

/**
 * The tasks, and each image with its bytes, as OpenStack's Images API v2 shows them, to be read by tools that speak
 * it. Nothing can be changed here.
 */
export function restRoutes(parts: RestParts): readonly HttpRoute[] {
  const places = placesOf(parts);
  return [
    ...places.map(({ path, get }) => route('GET', path, get)),
    // Glance makes tasks by it, so it is known, and not done.
    route('POST', '/v2/tasks', (call) =>
      sendFault(call, 501, 'Tasks are made by darkroom.v1.ImageService/CreateImage, not here.'),
    ),
    ...places.flatMap(({ path }) => changing.map((method) => route(method, path, refuse))),
    ...(['GET', ...changing] as const).map((method) => route(method, '/v2/*', findNothing)),
  ];
}

function placesOf(parts: RestParts): readonly Place[] {
  const { database, images, historyRetentionMs } = parts;
  const view: TaskViewParts = { reader: new TaskReader(database), historyRetentionMs };

  async function sendTask(call: HttpCall): Promise<void> {
    const id = idOf(call, 'task');
    const snapshot = await getTask(database, call.context.caller, id);
    sendView(call, await taskView(view, snapshot), taskEtag(snapshot.task));
  }

  async function sendTasks(call: HttpCall, path: string, imageId?: string): Promise<void> {
    const { query, context } = call;
    const limit = imageId === undefined ? defaultLimit : defaultLimitOfImage;
    const request = taskListRequest(query, limit);
    const page = await listTasksOfGlance(database, context.caller, request, imageId);
    const first = new URLSearchParams(query);
    first.delete('marker');
    first.delete('marker_value');
    sendView(call, {
      tasks: await taskViews(view, page.rows),
      first: linkTo(path, first),
      next:
        page.next && linkTo(path, new URLSearchParams([...first, ...Object.entries(page.next)])),
      schema: '/v2/schemas/tasks',
    });
  }

  async function sendTasksOfImage(call: HttpCall): Promise<void> {
    const id = idOf(call, 'image');
    const image = await images.getOwnImage(call.context.caller, id);
    await sendTasks(call, `${imagePath(image.id)}/tasks`, image.id);
  }

  async function sendImage(call: HttpCall): Promise<void> {
    const { image } = await images.getImage(call.context.caller, idOf(call, 'image'));
    sendView(call, imageView(image), weakEtag(etagOf(image)));
  }

  function sendFile(call: HttpCall): Promise<void> {
    return sendImageFile(parts.downloads, call, parseId<ImageId>(idOf(call, 'image'), 'image_id'));
  }

  return [
    { path: '/', get: sendVersionChoice },
    { path: '/versions', get: (call) => sendView(call, versions(call)) },
    { path: '/v2', get: sendVersion },
    { path: '/v2/', get: sendVersion },
    { path: '/v2/tasks', get: (call) => sendTasks(call, '/v2/tasks') },
    { path: taskPath(':id'), get: sendTask },
    { path: imagePath(':id'), get: sendImage },
    { path: `${imagePath(':id')}/file`, get: sendFile },
    { path: `${imagePath(':id')}/tasks`, get: sendTasksOfImage },
    { path: '/v2/schemas/image', get: (call) => sendView(call, imageSchema) },
    { path: '/v2/schemas/task', get: (call) => sendView(call, taskSchema) },
    { path: '/v2/schemas/tasks', get: (call) => sendView(call, tasksSchema) },
    {
      path: '/v2/schemas/metadefs/resource_type',
      get: (call) => sendView(call, resourceTypeSchema),
    },
  ];
}

/** Its errors are told in OpenStack's way, that the service is stopping too. */
function route(method: HttpRoute['method'], path: string, get: Place['get']): HttpRoute {
  return {
    method,
    path,
    handle(call) {
      tellRequestId(call);
      return get(call);
    },
    fail(call, error) {
      tellRequestId(call);
      sendThrown(call, error);
    },
  };
}

function tellRequestId({ response, context }: HttpCall): void {
  if (!response.headersSent) {
    response.setHeader('x-openstack-request-id', context.requestId);
  }
}

function versions({ request }: HttpCall): unknown {
  return { versions: [apiVersion(request)] };
}

/** With 300, as Glance answers who did not say which version: clients that look for it read the list either way. */
function sendVersionChoice(call: HttpCall): void {
  call.response.setHeader('cache-control', 'no-store');
  sendJson(call.response, 300, versions(call));
}

function sendVersion(call: HttpCall): void {
  sendView(call, { version: apiVersion(call.request) });
}

function refuse(call: HttpCall): void {
  call.response.setHeader('allow', 'GET, HEAD');
  sendFault(call, 405, `${call.request.method} is not taken here: this view can only be read.`);
}

function findNothing(call: HttpCall): void {
  const message =
    'There is nothing here. Of the Images API, this service shows tasks, and images one by one; all else is at ' +
    'darkroom.v1.ImageService.';
  sendFault(call, 404, message);
}

/** What is no id names nothing: 404, as in Glance, and not a wrong field. */
function idOf({ params }: HttpCall, kind: 'task' | 'image'): string {
  const id = params['id'] ?? '';
  if (!validate(id)) {
    throw new DarkroomError(
      kind === 'task' ? 'TASK_NOT_FOUND' : 'IMAGE_NOT_FOUND',
      `There is no ${kind} ${quoted(id)} in this project.`,
    );
  }
  return id;
}

function linkTo(path: string, query: URLSearchParams): string {
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}
