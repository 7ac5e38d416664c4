import { hostname } from 'node:os';
import { Code } from '../../../gen/google/rpc/code_pb.ts';
import type { Caller } from '../../access/caller.ts';
import { newId, type FaultId } from '../../records/ids.ts';
import type { Image } from '../../records/image.ts';
import type { FaultReport } from './fault-report.ts';
import type { LedgerRows } from './ledger-rows.ts';
import { Fault } from '../../records/fault.ts';
import { openTask, recordEvent, type NewTask } from './open-task.ts';
import { isTerminal, nextState, type TaskTransition } from './state-machine.ts';
import { transitionError } from './task-errors.ts';
import type { TaskEventKind } from '../../records/task-event.ts';
import type { Task, TaskPhase } from '../../records/task.ts';
import { cut } from './text-limit.ts';

/**
 * A task with its image, to be changed: both are as they are when the change is written, or it is not written. How that
 * is seen to is the ledger's: `LockedEntry` or `UnlockedEntry`.
 */
export class LedgerEntry {
  /** What is written besides. */
  readonly rows: LedgerRows;
  readonly image: Image;
  readonly task: Task;
  /** The database's time: one clock for all processes. */
  readonly now: Date;

  constructor(rows: LedgerRows, image: Image, task: Task, now: Date) {
    this.rows = rows;
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

  /** Moves the expire_time on: to an idle timeout from now, or from `afterMs` later. */
  signOfLife(afterMs = 0): void {
    this.#transit('PROGRESS');
    this.task.expireTime = new Date(this.now.getTime() + afterMs + this.task.idleTimeoutMs);
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
      task.type === 'IMPORT' && task.writerProcessId == null
        ? 'a worker to fetch the image'
        : task.state === 'PENDING'
          ? 'the first byte'
          : task.phase === 'UNPACKING'
            ? 'the service to unpack what came'
            : task.phase === 'VERIFYING' || task.phase === 'PUBLISHING'
              ? 'the service to finish its checks'
              : 'more bytes or a finish';
    const since = new Date(task.expireTime.getTime() - task.idleTimeoutMs);
    const total = task.expectedSize ?? task.reportedBytesTotal;
    this.#transit('EXPIRE');
    this.#failWith({
      reason: 'TASK_EXPIRED',
      code: Code.DEADLINE_EXCEEDED,
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
   * @param other what it does otherwise than the old one.
   */
  retry(
    requestId: string | null,
    caller: Caller,
    takeOver: boolean,
    cause: string,
    other: Partial<NewTask> = {},
  ): Task {
    const old = this.task;
    this.#transit('LINK_RETRY');
    const next = openTask(this.rows, this.image, caller, this.now, {
      type: old.type,
      requestId,
      labels: old.labels,
      expectedSize: old.expectedSize ?? null,
      expectedSha256: old.expectedSha256 ?? null,
      expectedSha512: old.expectedSha512 ?? null,
      source: old.source ?? null,
      decompress: old.decompress,
      idleTimeoutMs: old.idleTimeoutMs,
      ...other,
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
    const { rows, task, image, now } = this;
    task.faultCount += 1;
    const fault = rows.add(Fault, {
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
    task.lastFaultId = fault.id;
    image.lastFaultId = fault.id;
    this.#record('FAULT', fault.message, fault.id);
    return fault;
  }

  #record(kind: TaskEventKind, cause: string, faultId: FaultId | null = null): void {
    recordEvent(this.rows, this.task, this.now, kind, cause, faultId);
  }
}
