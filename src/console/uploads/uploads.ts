import uploaderUrl from 'darkroom:uploader';
import { Task_State } from '../../../gen/darkroom/v1/task_pb.ts';
import { failureOf, type Failure } from '../service/failure.ts';
import { backoffMs, pause } from '../service/pauses.ts';
import { tasks } from '../service/service.ts';
import { signInAsked, token } from '../service/session.ts';
import { isLive } from '../words/task-words.ts';
import { fileOfHandle } from './file-handle.ts';
import { forgetUpload, storedUploads, storeUpload, type StoredUpload } from './stored-uploads.ts';
import {
  addUpload,
  findUpload,
  removeUpload,
  stand,
  uploads,
  type UploadStanding,
} from './upload-list.ts';
import { lockUpload } from './upload-lock.ts';
import type { FromUploader, ToUploader } from './upload-messages.ts';

/** What is kept of an upload beside what is shown. */
interface Course {
  file: File | undefined;
  worker: Worker | undefined;
  release: (() => void) | undefined;
  /** Ends what waits for the upload. */
  readonly ending: AbortController;
}

/** A browser opens six connections to a service that speaks HTTP/1.1: some are for everything else. */
const mostAtOnce = 3;

const courses = new Map<string, Course>();

/** Begins an upload whose task is there. Its bytes go as soon as there is a turn for them. */
export async function beginUpload(stored: StoredUpload, file: File): Promise<void> {
  add(stored, { kind: 'queued' });
  try {
    await storeUpload(stored);
  } catch {
    // It goes on while this page is open, and not after.
  }
  await take(stored, file);
}

/** Goes on with what was begun before this page was loaded, as far as it can be without the reader. */
export async function continueStored(): Promise<void> {
  for (const stored of await storedUploads().catch(() => [])) {
    const standing = findUpload(stored.taskId)?.standing;
    if (standing === undefined) {
      add(stored, { kind: 'queued' });
      void examine(stored);
    } else if (standing.kind === 'failed' && standing.failure.kind === 'unknown') {
      // The reader is known by now.
      void examine(stored);
    }
  }
}

/** Stops sending; what is stored stays. */
export function pauseUpload(taskId: string): void {
  halt(taskId);
  stand(taskId, { kind: 'paused' });
  startNext();
}

/** Goes on with a paused or failed upload. Asks for the file where it is not known any more. */
export async function resumeUpload(taskId: string): Promise<void> {
  const upload = findUpload(taskId);
  const course = courses.get(taskId);
  if (upload === undefined || course === undefined) {
    return;
  }
  const file = course.file ?? (await fileOfHandle(upload.stored, true));
  await (file === undefined ? stand(taskId, { kind: 'file-needed' }) : resumeWith(taskId, file));
}

/** Goes on with a file that the reader has chosen, if it can be the same one. */
export async function resumeWith(taskId: string, file: File): Promise<void> {
  const stored = findUpload(taskId)?.stored;
  if (stored === undefined) {
    return;
  }
  if (file.size !== stored.size) {
    const wrong = `“${file.name}” has ${file.size.toLocaleString('en-GB')} bytes, and the upload was begun with ${stored.size.toLocaleString('en-GB')}.`;
    stand(taskId, { kind: 'file-needed', wrong });
    return;
  }
  await take(stored, file);
}

/** Makes the next attempt at a failed upload, which takes over what is sound of the bytes that are stored. */
export async function retryUpload(taskId: string): Promise<void> {
  const stored = findUpload(taskId)?.stored;
  const file = courses.get(taskId)?.file;
  const { task } = await tasks.retryTask({ taskId });
  if (stored === undefined || task === undefined) {
    return;
  }
  putAway(taskId);
  const next = { ...stored, taskId: task.id, begunMs: Date.now() };
  if (file === undefined) {
    add(next, { kind: 'file-needed' });
    await storeUpload(next).catch(() => undefined);
  } else {
    await beginUpload(next, file);
  }
}

/** Takes an upload out of the list. What it has not sent is not sent. */
export function putAway(taskId: string): void {
  halt(taskId);
  courses.get(taskId)?.ending.abort();
  courses.delete(taskId);
  removeUpload(taskId);
  void forgetUpload(taskId).catch(() => undefined);
  startNext();
}

window.addEventListener('online', retryNow);
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') {
    retryNow();
  }
});

function retryNow(): void {
  for (const { worker } of courses.values()) {
    worker?.postMessage({ kind: 'retryNow' } satisfies ToUploader);
  }
}

/** Finds out what has become of an upload since, and goes on if its file can be read without asking. */
async function examine(stored: StoredUpload): Promise<void> {
  const { taskId } = stored;
  const course = courses.get(taskId);
  if (course === undefined) {
    return;
  }
  const release = await lockUpload(taskId, course.ending.signal, () =>
    stand(taskId, { kind: 'elsewhere' }),
  );
  if (release === undefined) {
    return;
  }
  course.release = release;
  const end = await endOf(taskId, course.ending.signal);
  if (end !== undefined) {
    finish(taskId, end);
    return;
  }
  const file = await fileOfHandle(stored, false);
  if (file === undefined) {
    // Whoever finds the file first goes on, in whatever tab.
    halt(taskId);
    stand(taskId, { kind: 'file-needed' });
  } else {
    await resumeWith(taskId, file);
  }
}

/** How the task of an upload has ended; undefined where it has not. */
async function endOf(taskId: string, ending: AbortSignal): Promise<UploadStanding | undefined> {
  for (let tries = 0; !ending.aborted; tries += 1) {
    try {
      const { task } = await tasks.getTask({ taskId }, { signal: ending });
      if (task === undefined || isLive(task.state)) {
        return undefined;
      }
      const failure = task.lastFault && {
        kind: 'other' as const,
        reason: task.lastFault.reason,
        message: task.lastFault.message,
        fields: [],
        metadata: {},
      };
      return task.state === Task_State.SUCCEEDED
        ? { kind: 'done' }
        : {
            kind: 'failed',
            failure: failure ?? {
              kind: 'other',
              reason: '',
              message: 'The task was cancelled.',
              fields: [],
              metadata: {},
            },
          };
    } catch (error) {
      const failure = failureOf(error);
      if (failure.kind !== 'unreached' && failure.kind !== 'passing') {
        return { kind: 'failed', failure };
      }
      await pause(backoffMs(tries), ending);
    }
  }
  return undefined;
}

async function take(stored: StoredUpload, file: File): Promise<void> {
  const { taskId } = stored;
  const course = courses.get(taskId);
  if (course === undefined) {
    return;
  }
  course.file = file;
  course.release ??= await lockUpload(taskId, course.ending.signal, () =>
    stand(taskId, { kind: 'elsewhere' }),
  );
  if (course.release !== undefined) {
    stand(taskId, { kind: 'queued' });
    startNext();
  }
}

/** Starts as many as may run at once, in their order. */
function startNext(): void {
  const running = uploads.value.filter(({ standing }) => standing.kind === 'running').length;
  const next = uploads.value.filter(
    ({ stored, standing }) =>
      standing.kind === 'queued' && courses.get(stored.taskId)?.file !== undefined,
  );
  for (const { stored } of next.slice(0, Math.max(0, mostAtOnce - running))) {
    start(stored.taskId);
  }
}

function start(taskId: string): void {
  const course = courses.get(taskId);
  if (course?.file === undefined || course.worker !== undefined) {
    return;
  }
  stand(taskId, { kind: 'running', progress: undefined });
  const worker = new Worker(uploaderUrl, { type: 'module' });
  course.worker = worker;
  worker.addEventListener('message', ({ data }: MessageEvent<FromUploader>) => {
    if (data.kind === 'progress') {
      stand(taskId, { kind: 'running', progress: data.progress });
    } else {
      finish(taskId, data.kind === 'done' ? { kind: 'done' } : data);
    }
  });
  worker.addEventListener('error', (event) => {
    const message = event.message || 'The part of the console that uploads could not be loaded.';
    const failure: Failure = { kind: 'other', reason: '', message, fields: [], metadata: {} };
    finish(taskId, { kind: 'failed', failure });
  });
  const order: ToUploader = {
    kind: 'begin',
    origin: window.location.origin,
    token: token(),
    taskId,
    file: course.file,
  };
  worker.postMessage(order);
}

function finish(taskId: string, standing: UploadStanding): void {
  halt(taskId);
  stand(taskId, standing);
  if (standing.kind === 'done') {
    void forgetUpload(taskId).catch(() => undefined);
  } else if (standing.kind === 'failed' && standing.failure.kind === 'unknown') {
    signInAsked.value = standing.failure.message;
  }
  startNext();
}

function halt(taskId: string): void {
  const course = courses.get(taskId);
  course?.worker?.terminate();
  course?.release?.();
  if (course !== undefined) {
    course.worker = undefined;
    course.release = undefined;
  }
}

function add(stored: StoredUpload, standing: UploadStanding): void {
  courses.set(stored.taskId, {
    file: undefined,
    worker: undefined,
    release: undefined,
    ending: new AbortController(),
  });
  addUpload({ stored, standing });
}
