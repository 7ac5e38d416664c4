import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import {
  DarkroomError,
  Task_State,
  type DarkroomClient,
  type Image,
  type Task,
} from '../../client/exports.ts';
import type { CommandContext } from '../command-context.ts';
import { CommandFailure } from '../command-failure.ts';
import type { UploadOptions } from './upload-options.ts';
import type { UploadScreen } from './upload-screen.ts';
import { exitCodes } from '../exit-codes.ts';
import { findTask } from '../finding/find-task.ts';
import { bytesText } from '../output/amounts.ts';
import type { Connection } from '../profiles/connection.ts';
import { UsageError } from '../usage-error.ts';
import { tellHowToGoOn } from './go-on.ts';
import { newImage } from './new-image.ts';
import { formatOfFile, nameOf } from './source-format.ts';
import { isBeingSent, recordOf, UploadRecords, type UploadKey } from './upload-records.ts';

/** Where an upload goes on, or that it begins. */
type Place = { readonly taskId: string } | { readonly requestId: string };

/**
 * Sends a file. What was begun before by the same command, and is still worth anything, is gone on with: what is needed for that is
 * written down before the service is asked for the image, and forgotten when it is there.
 */
export async function uploadFile(
  context: CommandContext,
  client: DarkroomClient,
  connection: Connection,
  file: string,
  options: UploadOptions,
  screen: UploadScreen,
): Promise<Image> {
  const { path, size, mtimeMs } = await factsOf(file);
  if (options.size !== undefined && options.size !== size) {
    throw new UsageError(`${file} has ${size} bytes, and not ${options.size}`);
  }
  const name = options.name ?? nameOf(file);
  const { endpoint, project } = connection;
  const key: UploadKey = { endpoint, project, path, size, mtimeMs, name };
  const records = new UploadRecords(context.environment);
  screen.name = name;
  const aim = newImage(options, name, await formatOfFile(path));
  const { sha256, idleTimeout } = options;

  for (let place = await placeOf(context, client, records, key, options, screen); ;) {
    if ('requestId' in place) {
      keep(records, screen, recordOf(key, place.requestId));
    }
    let taskId: string | undefined;
    try {
      const { image } = await client.uploadImage(path, {
        signal: context.signal,
        ...(sha256 === undefined ? {} : { sha256 }),
        onProgress: (progress) => screen.progress(progress),
        onTask: (ids) => {
          ({ taskId } = ids);
          keep(records, screen, recordOf(key, 'requestId' in place ? place.requestId : '', taskId));
        },
        ...('taskId' in place
          ? place
          : {
              ...aim,
              requestId: place.requestId,
              ...(idleTimeout === undefined ? {} : { idleTimeoutMs: idleTimeout }),
            }),
      });
      records.forget(key);
      return image;
    } catch (error) {
      const isReused = error instanceof DarkroomError && error.reason === 'REQUEST_ID_REUSED';
      if (isReused && taskId === undefined) {
        // It was begun with other options before.
        place = { requestId: randomUUID() };
        continue;
      }
      if (taskId === undefined && !context.signal.aborted) {
        forgetRefused(records, key, error);
      } else if (taskId !== undefined) {
        const again = commandAgain(file, options, taskId);
        const advice = [`To go on:  ${again}`];
        const end = await tellHowToGoOn(context, client, screen, taskId, advice);
        throw end ?? error;
      }
      throw error;
    }
  }
}

/** What was refused by the service has made nothing that could be gone on with. */
function forgetRefused(records: UploadRecords, key: UploadKey, error: unknown): void {
  if (error instanceof DarkroomError && error.origin === 'service' && !error.isTransient) {
    records.forget(key);
  }
}

async function factsOf(
  file: string,
): Promise<{ readonly path: string; readonly size: number; readonly mtimeMs: number }> {
  try {
    const path = await realpath(file);
    const { size, mtimeMs } = await regular(path);
    await access(path, constants.R_OK);
    return { path, size, mtimeMs };
  } catch (error) {
    if (error instanceof UsageError) {
      throw error;
    }
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`);
  }
}

async function regular(path: string): Promise<{ readonly size: number; readonly mtimeMs: number }> {
  const facts = await stat(path);
  if (facts.isFile()) {
    return facts;
  }
  throw new UsageError(
    facts.isDirectory()
      ? `${path} is a folder`
      : `${path} is no regular file: pipe it in, as darkroom upload - <${path}`,
  );
}

/** Where the upload goes on, by what is kept of it here and by how its task stands. */
async function placeOf(
  context: CommandContext,
  client: DarkroomClient,
  records: UploadRecords,
  key: UploadKey,
  options: UploadOptions,
  screen: UploadScreen,
): Promise<Place> {
  const { signal } = context;
  if (options.task !== undefined) {
    const { id } = await findTask(client, options.task, signal);
    return { taskId: id };
  }
  const record = options.new === true ? undefined : records.find(key);
  if (record === undefined) {
    return { requestId: randomUUID() };
  }
  if (isBeingSent(record)) {
    throw new CommandFailure(
      exitCodes.refused,
      `process ${record.pid} is just sending it${record.taskId === undefined ? '' : `: darkroom watch ${record.taskId}`}`,
    );
  }
  if (record.taskId === undefined) {
    // Whether the image was made or not: the same request gets the same image.
    return { requestId: record.requestId };
  }
  const task = await newestAttempt(client, record.taskId, signal);
  const place = task === undefined ? undefined : await placeAt(client, task, screen, signal);
  return place ?? { requestId: randomUUID() };
}

/** A task, or what has retried it; undefined where it is not kept any more. */
async function newestAttempt(
  client: DarkroomClient,
  taskId: string,
  signal: AbortSignal,
): Promise<Task | undefined> {
  try {
    const { task } = await client.tasks.getTask({ taskId }, { signal });
    const next = task?.retriedBy ?? '';
    return next === '' ? task : await newestAttempt(client, next, signal);
  } catch (error) {
    if (error instanceof DarkroomError && error.reason === 'TASK_NOT_FOUND') {
      return undefined;
    }
    throw error;
  }
}

async function placeAt(
  client: DarkroomClient,
  task: Task,
  screen: UploadScreen,
  signal: AbortSignal,
): Promise<Place | undefined> {
  switch (task.state) {
    case Task_State.SUCCEEDED:
      // Only its answer was lost, or its image has gone since.
      return (await isDeleted(client, task, signal)) ? undefined : { taskId: task.id };
    case Task_State.CANCELLED:
      return undefined;
    case Task_State.FAILED:
      return retried(client, task, screen, signal);
    default:
      screen.note(
        `Going on with what was begun before, from ${bytesText(task.progress?.bytesDone ?? 0n)}.`,
      );
      return { taskId: task.id };
  }
}

async function isDeleted(
  client: DarkroomClient,
  task: Task,
  signal: AbortSignal,
): Promise<boolean> {
  const { image } = await client.images.getImage({ imageId: task.imageId }, { signal });
  return image?.deleteTime !== undefined;
}

/** A failed attempt's bytes are taken over by the next one, where the service finds them sound. */
async function retried(
  client: DarkroomClient,
  task: Task,
  screen: UploadScreen,
  signal: AbortSignal,
): Promise<Place | undefined> {
  if (task.lastFault?.retryable === false) {
    return undefined;
  }
  try {
    const { task: next } = await client.tasks.retryTask({ taskId: task.id }, { signal });
    if (next === undefined) {
      return undefined;
    }
    const from = bytesText(next.progress?.bytesDone ?? 0n);
    screen.note(
      `The attempt before has failed (${task.lastFault?.reason ?? 'unknown'}); this is attempt ${next.attempt}, from ${from}.`,
    );
    return { taskId: next.id };
  } catch (error) {
    if (error instanceof DarkroomError && error.origin === 'service' && !error.isTransient) {
      // Its image has gone, or was tried again by somebody else.
      return undefined;
    }
    throw error;
  }
}

function keep(
  records: UploadRecords,
  screen: UploadScreen,
  record: Parameters<UploadRecords['keep']>[0],
): void {
  try {
    records.keep(record);
  } catch (error) {
    screen.note(
      `This upload cannot be gone on with by the same command: ${(error as Error).message}`,
    );
  }
}

/** The command that goes on, as it can be pasted. */
function commandAgain(file: string, { name, task }: UploadOptions, taskId: string): string {
  const quoted = /^[\w./@:+-]+$/.test(file) ? file : `'${file.replaceAll("'", "'\\''")}'`;
  const more =
    task !== undefined
      ? ` --task ${taskId}`
      : name === undefined
        ? ''
        : ` --name ${JSON.stringify(name)}`;
  return `darkroom upload ${quoted}${more}`;
}
