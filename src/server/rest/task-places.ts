import type { Database } from '../../database/database.ts';
import type { ImageService } from '../../images/image-service.ts';
import { getTask } from '../../tasks/reading/task-queries.ts';
import { TaskReader } from '../../tasks/reading/task-reader.ts';
import type { StreamPace } from '../../uploads/receiving/stream-watchdog.ts';
import { sendJson, type HttpCall } from '../http/http-endpoints.ts';
import { taskEtag } from '../http/task-etag.ts';
import { taskPath } from '../http/task-path.ts';
import { imageIdIn, taskIdIn } from './id-in-path.ts';
import { imagePath } from './image-view.ts';
import { linkTo } from './link.ts';
import { jsonBody } from './json-body.ts';
import type { Place } from './place.ts';
import { sendView } from './rest-answer.ts';
import { taskCreateRequest } from './task-create-request.ts';
import { taskListRequest } from './task-list-request.ts';
import { listTasksOfGlance } from './task-list.ts';
import { taskView, taskViews, type TaskViewParts } from './task-view.ts';

/** What it takes to tell of tasks. */
export interface TaskPlacesParts {
  readonly database: Database;
  readonly images: ImageService;
  /** What clients must keep up that send a request. */
  readonly pace: StreamPace;
  /** How long ended tasks are kept, in ms. */
  readonly historyRetentionMs: number;
}

/** Limits where a list is asked for none. Glance does not page the tasks of an image at all. */
const defaultLimit = 25;
const defaultLimitOfImage = 1000;

/** Tasks: those of the project, one, and those of an image. */
export function taskPlaces(parts: TaskPlacesParts): readonly Place[] {
  const { database, images, historyRetentionMs } = parts;
  const view: TaskViewParts = { reader: new TaskReader(database), historyRetentionMs };

  async function sendTask(call: HttpCall): Promise<void> {
    const snapshot = await getTask(database, call.context.caller, taskIdIn(call));
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
    const image = await images.getOwnImage(call.context.caller, imageIdIn(call));
    await sendTasks(call, `${imagePath(image.id)}/tasks`, image.id);
  }

  /** A task of Glance's is an import, which makes its image itself. */
  async function makeTask(call: HttpCall): Promise<void> {
    const { response, context } = call;
    const request = taskCreateRequest(await jsonBody(call, parts.pace));
    const { image, task } = await images.createImage(context.caller, request);
    if (task === undefined) {
      throw new Error('An image was made without its task.');
    }
    const { id } = task.task;
    context.outcome.subject = { imageId: image.id, taskId: id };
    response.setHeader('cache-control', 'no-store');
    response.setHeader('location', taskPath(id));
    response.setHeader('link', `<${taskPath(id)}>; rel="monitor"`);
    sendJson(response, 201, await taskView(view, task));
  }

  return [
    {
      path: '/v2/tasks',
      methods: {
        GET: (call) => sendTasks(call, '/v2/tasks'),
        POST: makeTask,
      },
    },
    { path: taskPath(':id'), methods: { GET: sendTask } },
    { path: `${imagePath(':id')}/tasks`, methods: { GET: sendTasksOfImage } },
  ];
}
