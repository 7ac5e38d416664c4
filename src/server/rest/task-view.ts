import type { Fault } from '../../records/fault.ts';
import type { TaskReader, TaskSnapshot } from '../../tasks/reading/task-reader.ts';
import type { Task } from '../../records/task.ts';
import { taskPath } from '../http/task-path.ts';
import { bytesOf } from '../../tasks/reading/task-bytes.ts';
import { statusOf, typeWordOf, type TaskStatus, type TaskTypeWord } from './task-words.ts';

/** A task as Glance's API v2 tells it. */
export interface TaskView {
  readonly id: string;
  readonly type: TaskTypeWord;
  readonly status: TaskStatus;
  readonly owner: string;
  readonly user_id: string;
  readonly request_id?: string;
  readonly image_id: string;
  readonly input: Readonly<Record<string, unknown>>;
  /** Null until the task has succeeded. */
  readonly result: Readonly<Record<string, unknown>> | null;
  readonly message: string;
  readonly created_at: string;
  readonly updated_at: string;
  readonly expires_at: string;
  readonly self: string;
  readonly schema: string;
}

/** What it takes to tell tasks as Glance does. */
export interface TaskViewParts {
  /** Reads why tasks were cancelled. */
  readonly reader: TaskReader;
  /** How long ended tasks are kept, in ms. */
  readonly historyRetentionMs: number;
}

/** Tells tasks as Glance does, each with what its readers may know: no detail that is for operators. */
export async function taskViews(
  parts: TaskViewParts,
  snapshots: readonly TaskSnapshot[],
): Promise<TaskView[]> {
  return Promise.all(snapshots.map((snapshot) => taskView(parts, snapshot)));
}

/** The same for one task. */
export async function taskView(
  { reader, historyRetentionMs }: TaskViewParts,
  { task, lastFault }: TaskSnapshot,
): Promise<TaskView> {
  // A live task's time is when it fails unless something comes, an ended one's when its record may go.
  const expires =
    task.expireTime ??
    new Date((task.finishTime ?? task.updateTime).getTime() + historyRetentionMs);
  return {
    id: task.id,
    type: typeWordOf(task.type),
    status: statusOf(task.state),
    owner: task.projectId,
    user_id: task.createdBy,
    ...(task.requestId != null && { request_id: task.requestId }),
    image_id: task.imageId,
    input: inputOf(task),
    result:
      task.state === 'SUCCEEDED' ? { image_id: task.imageId, size: task.committedSize } : null,
    message:
      task.state === 'CANCELLED' ? await whyCancelled(reader, task) : messageOf(task, lastFault),
    created_at: timeOf(task.createTime),
    updated_at: timeOf(task.updateTime),
    expires_at: timeOf(expires),
    self: taskPath(task.id),
    schema: '/v2/schemas/task',
  };
}

/** What the task's creator stated. */
function inputOf(task: Readonly<Task>): TaskView['input'] {
  return {
    image_id: task.imageId,
    // What Glance's tasks of an import have, which is all that they are for there.
    ...(task.isStaging &&
      task.finishSize != null && { import_req: { method: { name: 'glance-direct' } } }),
    ...(task.expectedSize != null && { total_size: task.expectedSize }),
    ...(task.source != null && { import_from: task.source }),
    ...(task.expectedSha256 != null && { sha256: task.expectedSha256 }),
    ...(Object.keys(task.labels).length > 0 && { labels: task.labels }),
  };
}

/** Never empty for a failure, as Glance promises. */
function messageOf(task: Readonly<Task>, lastFault: Readonly<Fault> | undefined): string {
  if (task.state === 'SUCCEEDED') {
    return task.message;
  }
  if (lastFault !== undefined) {
    return `${lastFault.reason}: ${lastFault.message}`;
  }
  if (task.state === 'FAILED') {
    return 'The task failed; its fault is not kept any more.';
  }
  return task.message === '' ? howFar(task) : task.message;
}

function howFar(task: Readonly<Task>): string {
  const { done, total } = bytesOf(task);
  return done === 0 ? '' : `${done}${total === undefined ? '' : ` of ${total}`} bytes are done`;
}

/** Who cancelled it and why stands in the event, which is the last one, or the last before a retry. */
async function whyCancelled(reader: TaskReader, task: Readonly<Task>): Promise<string> {
  const after = Math.max(0, task.revision - 2);
  const { id: taskId, projectId, revision: upTo } = task;
  const records = await reader.events({ taskId, projectId, after, upTo });
  const end = records.find(({ event }) => event.kind === 'STATE_CHANGED');
  return end?.event.cause ?? 'Cancelled';
}

/** `2026-11-21T19:42:00Z` */
export function timeOf(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}
