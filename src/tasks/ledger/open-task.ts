import type { Caller } from '../../access/caller.ts';
import { newId, type BlobId, type FaultId, type TaskId } from '../../records/ids.ts';
import type { Image } from '../../records/image.ts';
import { Blob } from '../../records/blob.ts';
import { TaskEvent, type TaskEventKind } from '../../records/task-event.ts';
import { Task, type TaskType } from '../../records/task.ts';
import type { LedgerRows } from './ledger-rows.ts';
import { cut } from './text-limit.ts';

/** What a new task is made of. */
export interface NewTask {
  readonly type: TaskType;
  readonly requestId: string | null;
  readonly labels: Record<string, string>;
  readonly expectedSize: number | null;
  readonly expectedSha256: string | null;
  readonly expectedSha512: string | null;
  /** Imports: where from, for people, without what may be secret. */
  readonly source: string | null;
  /** Whether what comes is compressed, and the image is what is inside. */
  readonly decompress: boolean;
  /** ms */
  readonly idleTimeoutMs: number;
  readonly cause: string;
}

interface OpenTask extends NewTask {
  readonly retryOf?: Task | undefined;
  readonly takeOver?: { readonly blobId: BlobId; readonly from: Task } | undefined;
}

/**
 * Makes an image's next task, with an empty blob or the bytes of the task that it retries, as
 * revision 1. The image is new or locked, has no live task, and is EXPECTED afterwards.
 */
export function openTask(
  rows: LedgerRows,
  image: Image,
  caller: Caller,
  now: Date,
  spec: OpenTask,
): Task {
  let blobId = spec.takeOver?.blobId;
  if (blobId === undefined) {
    blobId = newId<BlobId>();
    rows.add(Blob, {
      id: blobId,
      state: 'STAGED',
      projectId: image.projectId,
      createTime: now,
      updateTime: now,
    });
  }
  const task = rows.add(Task, {
    id: newId<TaskId>(),
    projectId: image.projectId,
    createdBy: caller.userId,
    requestId: spec.requestId,
    type: spec.type,
    imageId: image.id,
    labels: spec.labels,
    state: 'PENDING',
    phase: 'WAITING_FOR_DATA',
    message: '',
    committedSize: spec.takeOver?.from.committedSize ?? 0,
    storedBytes: spec.takeOver?.from.storedBytes ?? 0,
    expectedSize: spec.expectedSize,
    expectedSha256: spec.expectedSha256,
    expectedSha512: spec.expectedSha512,
    source: spec.source,
    // Of the bytes: whoever begins anew may say something else.
    announcedSize: spec.takeOver?.from.announcedSize ?? null,
    isStaging: spec.takeOver?.from.isStaging ?? false,
    stagedSize: spec.takeOver?.from.stagedSize ?? null,
    decompress: spec.decompress,
    unpackedSize: 0,
    blobId,
    // Epochs go on across a retry that takes over bytes: the blob has one segment for each of them.
    writerEpoch: spec.takeOver?.from.writerEpoch ?? 0,
    attempt: (spec.retryOf?.attempt ?? 0) + 1,
    retryOf: spec.retryOf?.id ?? null,
    faultCount: 0,
    revision: 0,
    idleTimeoutMs: spec.idleTimeoutMs,
    expireTime: new Date(now.getTime() + spec.idleTimeoutMs),
    createTime: now,
    updateTime: now,
  });
  recordEvent(rows, task, now, 'CREATED', spec.cause, null);
  image.latestTaskId = task.id;
  image.outlook = 'EXPECTED';
  return task;
}

/** Writes the event of a change, which raises the task's revision. Only the ledger calls it. */
export function recordEvent(
  rows: LedgerRows,
  task: Task,
  now: Date,
  kind: TaskEventKind,
  cause: string,
  faultId: FaultId | null,
): void {
  task.revision += 1;
  task.updateTime = now;
  rows.add(TaskEvent, {
    taskId: task.id,
    revision: task.revision,
    kind,
    state: task.state,
    phase: task.phase,
    cause: cut(cause, 1024),
    faultId,
    bytesDone: task.committedSize,
    createTime: now,
  });
}
