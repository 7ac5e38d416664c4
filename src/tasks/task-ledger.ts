import { hostname } from 'node:os';
import { LockMode } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Code } from '../../gen/google/rpc/code_pb.ts';
import { Code as RpcCode } from '../../gen/google/rpc/code_pb.ts';
import type { Database } from '../database/database.ts';
import type { Caller } from '../domain/caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { failureReasons, type FailureReason } from '../domain/failure-reason.ts';
import { newId, type BlobId, type FaultId, type TaskId } from '../domain/ids.ts';
import { Image } from '../images/image.ts';
import { Blob } from '../storage/blob.ts';
import { Fault, type FaultOrigin } from './fault.ts';
import { isTerminal, nextState, type TaskTransition } from './state-machine.ts';
import { TaskEvent, type TaskEventKind } from './task-event.ts';
import { Task, type TaskPhase, type TaskType } from './task.ts';

/** A fault as it is first known; the ledger adds where and when. */
export interface FaultReport {
  readonly reason: FailureReason | (string & {});
  readonly code: Code;
  /** For any user; cut at 1,024 characters. */
  readonly message: string;
  /** For operators; cut at 4,096 characters. */
  readonly detail?: string;
  readonly origin: FaultOrigin;
  readonly retryable: boolean;
}

/** The fault that tells of an error of the service's own. */
export function faultOf(error: DarkroomError): FaultReport {
  return {
    reason: error.reason,
    code: error.code,
    message: error.message,
    detail: describeCause(error.cause),
    origin: 'SERVER',
    retryable: failureReasons[error.reason].retryable,
  };
}

function describeCause(cause: unknown): string {
  if (cause instanceof Error) {
    const further = cause.cause === undefined ? '' : ` (${describeCause(cause.cause)})`;
    return `${cause.name}: ${cause.message}${further}`;
  }
  return typeof cause === 'string' ? cause : '';
}

/** What a new task is made of. */
export interface NewTask {
  readonly type: TaskType;
  readonly requestId: string | null;
  readonly labels: Record<string, string>;
  readonly expectedSize: number | null;
  readonly expectedSha256: string | null;
  /** ms */
  readonly idleTimeoutMs: number;
  readonly cause: string;
}

/**
 * The ledger is the only place where a task changes its state. Each change locks the image and then
 * the task, in this order everywhere, so that two changes never deadlock; it raises the revision and
 * writes the event in the same transaction, whose commit wakes the watchers.
 */
export class TaskLedger {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Runs `work` in a transaction that holds the locks of a task and its image, and commits what it
   * changed. A live task whose time has passed is failed instead, whoever comes first: the sweeper or
   * the next caller.
   *
   * @param caller whose project the task must belong to; undefined for the service itself.
   * @throws DarkroomError TASK_NOT_FOUND; TASK_EXPIRED when its time has just passed; what `work` throws.
   */
  async change<T>(
    taskId: TaskId,
    caller: Caller | undefined,
    work: (entry: LedgerEntry) => Promise<T> | T,
  ): Promise<T> {
    const em = this.#database.fork();
    const outcome = await em.transactional(async (tx) => {
      const entry = await lockEntry(tx, taskId, caller);
      if (entry.expireIfDue()) {
        return { expired: entry.task };
      }
      return { value: await work(entry) };
    });
    if ('expired' in outcome) {
      throw expiredError(outcome.expired);
    }
    return outcome.value;
  }
}

/** A locked task with its image, inside a transaction. Changes are written when it commits. */
export class LedgerEntry {
  readonly em: EntityManager;
  readonly image: Image;
  readonly task: Task;
  /** The database's time: one clock for all processes. */
  readonly now: Date;

  constructor(em: EntityManager, image: Image, task: Task, now: Date) {
    this.em = em;
    this.image = image;
    this.task = task;
    this.now = now;
  }

  /** PENDING → RUNNING. */
  start(phase: TaskPhase, cause: string): void {
    this.#transit('START');
    this.task.phase = phase;
    this.task.startTime = this.now;
    this.#record('STATE_CHANGED', cause);
  }

  /** Changes the phase of a running task; nothing happens if it is in that phase. */
  enterPhase(phase: TaskPhase, cause: string): void {
    if (this.task.phase !== phase) {
      this.#transit('ENTER_PHASE');
      this.task.phase = phase;
      this.#record('PHASE_CHANGED', cause);
    }
  }

  /** Moves the expire_time on from now. */
  signOfLife(): void {
    this.#transit('PROGRESS');
    this.task.expireTime = new Date(this.now.getTime() + this.task.idleTimeoutMs);
    this.task.updateTime = this.now;
  }

  /** Records a fault that the task survives. */
  survive(report: FaultReport): Fault {
    this.#transit('SURVIVE_FAULT');
    return this.#recordFault(report, false);
  }

  /** Fences the writer there was and detaches its stream; the new epoch is `task.writerEpoch`. */
  changeWriter(cause: string): void {
    this.#transit('CHANGE_WRITER');
    this.task.writerEpoch += 1;
    this.detachWriter();
    this.#record('WRITER_CHANGED', cause);
  }

  /** Ends the task well. The caller has made the image ACTIVE in this transaction. */
  succeed(cause: string): void {
    this.#transit('SUCCEED');
    this.#end();
    this.#record('STATE_CHANGED', cause);
  }

  /** Ends the task with a fatal fault. */
  fail(report: FaultReport): Fault {
    this.#transit('FAIL');
    return this.#failWith(report);
  }

  /** Ends the task as cancelled. */
  cancel(cause: string): void {
    this.#transit('CANCEL');
    this.#end();
    this.#loseHope();
    this.#record('STATE_CHANGED', cause);
  }

  /** Fails the task if its time has passed. Answers whether it did. */
  expireIfDue(): boolean {
    const { task } = this;
    if (isTerminal(task.state) || !task.expireTime || task.expireTime > this.now) {
      return false;
    }
    const awaited =
      task.state === 'PENDING'
        ? 'the first byte'
        : task.phase === 'VERIFYING' || task.phase === 'PUBLISHING'
          ? 'the service to finish its checks'
          : 'more bytes or a finish';
    const since = new Date(task.expireTime.getTime() - task.idleTimeoutMs);
    const total = task.expectedSize ?? task.reportedBytesTotal;
    this.#transit('EXPIRE');
    this.#failWith({
      reason: 'TASK_EXPIRED',
      code: RpcCode.DEADLINE_EXCEEDED,
      message:
        `Nothing came within ${task.idleTimeoutMs / 1000} s: awaited ${awaited} since ` +
        `${since.toISOString()}, with ${task.committedSize}${total == null ? '' : ` of ${total}`} bytes ` +
        `stored. RetryTask goes on from there.`,
      origin: 'SERVER',
      retryable: true,
    });
    return true;
  }

  /**
   * Makes the next attempt at a task that failed or was cancelled, and links both.
   *
   * @param takeOver whether the new task takes over the committed bytes.
   */
  retry(requestId: string | null, caller: Caller, takeOver: boolean, cause: string): Task {
    const old = this.task;
    this.#transit('LINK_RETRY');
    const next = openTask(this.em, this.image, caller, this.now, {
      type: old.type,
      requestId,
      labels: old.labels,
      expectedSize: old.expectedSize ?? null,
      expectedSha256: old.expectedSha256 ?? null,
      idleTimeoutMs: old.idleTimeoutMs,
      cause,
      retryOf: old,
      takeOver: takeOver && old.blobId ? { blobId: old.blobId, from: old } : undefined,
    });
    old.blobId = takeOver ? null : (old.blobId ?? null);
    old.retriedBy = next.id;
    this.#record('RETRIED', `Retried by task ${next.id}`);
    return next;
  }

  #transit(transition: TaskTransition): void {
    const to = nextState(this.task.state, transition);
    if (to === undefined) {
      throw transitionError(this.task, transition);
    }
    this.task.state = to;
  }

  #failWith(report: FaultReport): Fault {
    this.#end();
    this.#loseHope();
    return this.#recordFault(report, true);
  }

  #end(): void {
    this.task.expireTime = null;
    this.task.finishTime = this.now;
    this.detachWriter();
  }

  /** Says that no stream writes any more; the epoch stays as it is. */
  detachWriter(): void {
    this.task.writerProcessId = null;
    this.task.writerPeer = null;
    this.task.writerSince = null;
  }

  #loseHope(): void {
    if (this.image.state === 'QUEUED') {
      this.image.outlook = 'NOT_COMING';
      this.touchImage();
    }
  }

  /** Marks the image as changed, so that its etag changes. */
  touchImage(): void {
    this.image.version += 1;
    this.image.updateTime = this.now;
  }

  #recordFault(report: FaultReport, fatal: boolean): Fault {
    const { em, task, image, now } = this;
    task.faultCount += 1;
    const fault = em.create(Fault, {
      id: newId<FaultId>(),
      taskId: task.id,
      imageId: image.id,
      projectId: task.projectId,
      sequence: task.faultCount,
      code: report.code,
      reason: report.reason,
      message: cut(report.message, 1024),
      detail: cut(report.detail ?? '', 4096),
      phase: task.phase,
      offset: task.committedSize,
      attempt: task.attempt,
      origin: report.origin,
      host: hostname(),
      fatal,
      retryable: report.retryable,
      createTime: now,
    });
    em.persist(fault);
    task.lastFaultId = fault.id;
    image.lastFaultId = fault.id;
    this.#record('FAULT', fault.message, fault.id);
    return fault;
  }

  #record(kind: TaskEventKind, cause: string, faultId: FaultId | null = null): void {
    recordEvent(this.em, this.task, this.now, kind, cause, faultId);
  }
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
  em: EntityManager,
  image: Image,
  caller: Caller,
  now: Date,
  spec: OpenTask,
): Task {
  let blobId = spec.takeOver?.blobId;
  if (blobId === undefined) {
    blobId = newId<BlobId>();
    em.persist(em.create(Blob, { id: blobId, state: 'STAGED', createTime: now, updateTime: now }));
  }
  const task = em.create(Task, {
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
  em.persist(task);
  recordEvent(em, task, now, 'CREATED', spec.cause, null);
  image.latestTaskId = task.id;
  image.outlook = 'EXPECTED';
  return task;
}

function recordEvent(
  em: EntityManager,
  task: Task,
  now: Date,
  kind: TaskEventKind,
  cause: string,
  faultId: FaultId | null,
): void {
  task.revision += 1;
  task.updateTime = now;
  em.persist(
    em.create(TaskEvent, {
      taskId: task.id,
      revision: task.revision,
      kind,
      state: task.state,
      phase: task.phase,
      cause: cut(cause, 1024),
      faultId,
      bytesDone: task.committedSize,
      createTime: now,
    }),
  );
}

async function lockEntry(
  em: EntityManager,
  taskId: TaskId,
  caller: Caller | undefined,
): Promise<LedgerEntry> {
  // The image of a task never changes, so it can be read before anything is locked.
  const known = await em.findOne(Task, { id: taskId }, { fields: ['id', 'imageId', 'projectId'] });
  if (!known || (caller && known.projectId !== caller.projectId)) {
    throw taskNotFound(taskId);
  }
  const image = await em.findOneOrFail(
    Image,
    { id: known.imageId },
    { lockMode: LockMode.PESSIMISTIC_WRITE },
  );
  const task = await em.findOne(
    Task,
    { id: taskId },
    { lockMode: LockMode.PESSIMISTIC_WRITE, refresh: true },
  );
  if (!task) {
    throw taskNotFound(taskId);
  }
  return new LedgerEntry(em, image, task, await databaseTime(em));
}

/** Locks the live task of an image that is locked already; undefined if it has none. */
export async function lockLiveTask(
  em: EntityManager,
  image: Image,
  now: Date,
): Promise<LedgerEntry | undefined> {
  const task = await em.findOne(
    Task,
    { imageId: image.id, state: { $in: ['PENDING', 'RUNNING'] } },
    { lockMode: LockMode.PESSIMISTIC_WRITE },
  );
  return task ? new LedgerEntry(em, image, task, now) : undefined;
}

/** The database's time, in ms precision: one clock for all processes. */
export async function databaseTime(em: EntityManager): Promise<Date> {
  const rows: { now: Date | string }[] = await em.execute(
    'select clock_timestamp()::timestamptz(3) as now',
  );
  return new Date(rows[0]?.now ?? Date.now());
}

/** The error for a task that is not there, or is another project's. */
export function taskNotFound(taskId: TaskId): DarkroomError {
  return new DarkroomError('TASK_NOT_FOUND', `There is no task ${taskId} in this project.`);
}

function expiredError(task: Task): DarkroomError {
  return new DarkroomError(
    'TASK_EXPIRED',
    `Task ${task.id} waited ${task.idleTimeoutMs / 1000} s for a sign of life and failed. ` +
      `RetryTask makes the next attempt from the bytes that are stored.`,
    { code: RpcCode.FAILED_PRECONDITION, metadata: { task_id: task.id } },
  );
}

/** The error for a transition that the state machine does not allow. */
export function transitionError(task: Task, transition: TaskTransition): DarkroomError {
  const ended = task.finishTime ? ` since ${task.finishTime.toISOString()}` : '';
  if (isTerminal(task.state)) {
    const advice =
      task.state === 'SUCCEEDED'
        ? 'Nothing is left to do.'
        : 'ListFaults tells why; RetryTask makes the next attempt.';
    return new DarkroomError(
      transition === 'LINK_RETRY' ? 'TASK_STATE_INVALID' : 'TASK_TERMINAL',
      `Task ${task.id} is ${task.state}${ended} and takes no more changes. ${advice}`,
      { metadata: { task_id: task.id, state: task.state } },
    );
  }
  return new DarkroomError(
    'TASK_STATE_INVALID',
    `Task ${task.id} is ${task.state}, which does not allow ${transition}.`,
    { metadata: { task_id: task.id, state: task.state } },
  );
}

/** Characters are Unicode code points, as everywhere in the contract. */
function cut(text: string, limit: number): string {
  if (text.length <= limit) {
    return text;
  }
  const characters = Array.from(text);
  return characters.length <= limit ? text : `${characters.slice(0, limit - 1).join('')}…`;
}
