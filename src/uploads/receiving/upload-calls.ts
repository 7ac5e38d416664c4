import type { Caller } from '../../access/caller.ts';
import { isOwn } from '../../access/rights.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { TaskId } from '../../records/ids.ts';
import { attachWriter, type Attachment, type WriterRole } from '../lease/attach-writer.ts';
import type { FinishClaim } from '../publishing/finish-claim.ts';
import type { PublishedImage } from '../publishing/publish.ts';
import { Interruption } from '../../domain/interruption.ts';
import { settledWithin } from '../../domain/settled-within.ts';
import { knownError } from './known-error.ts';
import { LeaseWatch } from '../lease/lease-watch.ts';
import { recordEnd, type SettleEnd } from './session-end.ts';
import { SucceededUpload } from './succeeded-upload.ts';
import type { SucceededTask } from '../lease/attach-writer.ts';
import type { UploadParts } from './upload-parts.ts';
import { UploadSession } from './upload-session.ts';
import type { DataTaker } from './upload-stream.ts';
import type { WriterLease } from '../lease/writer-lease.ts';

/** How an upload stands. */
export interface UploadOutcome {
  readonly taskId: TaskId;
  /** Bytes from the image's start that are durably stored. */
  readonly committedSize: number;
  /** Whether the image is ACTIVE by this task. */
  readonly complete: boolean;
  /** The epoch with which to go on. */
  readonly writerEpoch: number;
  /** The image and its task as the call has just made them ACTIVE and SUCCEEDED; undefined if it did not. */
  readonly published?: PublishedImage;
}

/** A call that has, or is about to have, an upload. */
export interface UploadCall {
  readonly role: WriterRole;
  readonly taskId: TaskId;
  readonly peer: string;
  /**
   * Hands what is sent to `take`, and answers what its finish claims; undefined without one.
   *
   * @param interruption ends what it waits for.
   * @param lease undefined where the upload is done, and what is sent only compared.
   */
  readonly send: (
    interruption: Interruption,
    take: DataTaker,
    lease: WriterLease | undefined,
  ) => Promise<FinishClaim | undefined>;
  /** Records an error with which it ends. */
  readonly settle: SettleEnd;
}

/** A call under way. */
interface RunningCall {
  /** Ends it. */
  readonly interruption: Interruption;
  readonly ended: PromiseWithResolvers<void>;
}

/** Another process, or the successor of this one, is there in about a second. */
const drainedRetryDelayMs = 1000;

/**
 * The calls of this process that have an upload, whatever sends its bytes: each attaches itself as the
 * writer, brings what it has to a session, and ends.
 */
export class UploadCalls {
  readonly #parts: UploadParts;
  readonly #calls = new Map<UploadCall, RunningCall>();
  #isDraining = false;
  #onIdle: (() => void)[] = [];

  constructor(parts: UploadParts) {
    this.#parts = parts;
  }

  /** Whether this process has the task's upload. */
  holds(taskId: TaskId): boolean {
    return this.#callsOf(taskId) > 0;
  }

  /** How many uploads are under way in this process. */
  get count(): number {
    return this.#calls.size;
  }

  /**
   * Ends all uploads that are under way, takes no more, and resolves when each has made durable what it
   * had. Their tasks go on, on another process or after a restart.
   */
  async drain(): Promise<void> {
    this.#isDraining = true;
    for (const { interruption } of this.#calls.values()) {
      interruption.interrupt(drainingError());
    }
    if (this.#calls.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle.push(resolve);
      });
    }
  }

  /**
   * Resolves when the calls of a task that have broken off have made durable what they had and recorded why they
   * ended, or after `patienceMs`: a disk may hang.
   */
  async brokenOffEnded(taskId: TaskId, caller: Caller, patienceMs: number): Promise<void> {
    const endings = [...this.#calls]
      .filter(
        ([call, { interruption }]) =>
          call.taskId === taskId && mayBeOf(call, caller) && interruption.isInterrupted,
      )
      .map(([, { ended }]) => ended.promise);
    if (endings.length > 0) {
      await settledWithin(Promise.all(endings), patienceMs);
    }
  }

  /**
   * Runs a call to its end. Undefined for an import that is not to be had: another worker has it, it has
   * ended, or it must wait.
   *
   * @throws DarkroomError why it ended; it is recorded.
   */
  async run(call: UploadCall): Promise<UploadOutcome | undefined> {
    if (this.#isDraining) {
      throw drainingError();
    }
    const { database, ledger, changes, processId, limits } = this.#parts;
    const { role, taskId, peer } = call;
    const interruption = new Interruption();
    // Held before it is attached, so that whoever finds this process attached can ask whether it is.
    this.#calls.set(call, { interruption, ended: Promise.withResolvers() });
    const watch = new LeaseWatch(database, changes, taskId);
    try {
      const caller = role.kind === 'client' ? role.caller : undefined;
      const isHeldBesides = (): boolean => this.#callsOf(taskId, caller) > 1;
      const attachment: Attachment = await attachWriter(
        ledger,
        taskId,
        { role, processId, peer, isHeldBesides },
        limits,
      );
      if (attachment.kind === 'succeeded') {
        return await this.#compare(attachment, call, interruption);
      }
      if (attachment.kind === 'taken') {
        return undefined;
      }
      watch.guard(attachment.lease, (loss) => interruption.interrupt(loss));
      return await this.#append(attachment.lease, call, interruption, watch);
    } finally {
      watch.end();
      this.#release(call);
    }
  }

  async #append(
    lease: WriterLease,
    call: UploadCall,
    interruption: Interruption,
    watch: LeaseWatch,
  ): Promise<UploadOutcome> {
    const { taskId, epoch: writerEpoch } = lease;
    const session = await this.#openSession(lease, call, interruption);
    const take: DataTaker = (frame) =>
      frame.kind === 'chunk'
        ? session.append(frame.offset, frame.data)
        : session.appendHole(frame.offset, frame.length);
    try {
      const claim = await call.send(interruption, take, lease);
      if (claim) {
        const published = await session.finish(claim, () => watch.end());
        return { taskId, committedSize: claim.totalSize, complete: true, writerEpoch, published };
      }
      await session.leave();
      return { taskId, committedSize: session.committedSize, complete: false, writerEpoch };
    } catch (error) {
      throw await session.abandon(this.#known(error), call.settle);
    }
  }

  async #openSession(
    lease: WriterLease,
    { settle }: UploadCall,
    interruption: Interruption,
  ): Promise<UploadSession> {
    try {
      return await UploadSession.open(this.#parts, lease, interruption);
    } catch (error) {
      const { committedSize } = lease;
      const end = { committedSize, claim: undefined, settle };
      throw await recordEnd(this.#parts, lease, this.#known(error), end);
    }
  }

  async #compare(
    succeeded: SucceededTask,
    call: UploadCall,
    interruption: Interruption,
  ): Promise<UploadOutcome> {
    const upload = await SucceededUpload.open(this.#parts, succeeded, interruption);
    try {
      const compare: DataTaker = (frame) =>
        upload.compare(frame.offset, frame.kind === 'chunk' ? frame.data : frame.length);
      const claim = await call.send(interruption, compare, undefined);
      if (claim) {
        upload.finish(claim);
      }
    } finally {
      await upload.close();
    }
    const { id: taskId, writerEpoch } = succeeded.task;
    return { taskId, committedSize: upload.size, complete: true, writerEpoch };
  }

  #known(error: unknown): DarkroomError {
    return knownError(error, this.#parts.logger);
  }

  #callsOf(taskId: TaskId, caller?: Caller): number {
    return this.#calls
      .keys()
      .reduce((n, call) => n + (call.taskId === taskId && mayBeOf(call, caller) ? 1 : 0), 0);
  }

  #release(call: UploadCall): void {
    this.#calls.get(call)?.ended.resolve();
    this.#calls.delete(call);
    if (this.#calls.size === 0) {
      for (const resolve of this.#onIdle.splice(0)) {
        resolve();
      }
    }
  }
}

/** Whether a call may have what the caller's has: one of another project is about to be refused, and holds nothing. */
function mayBeOf({ role }: UploadCall, caller: Caller | undefined): boolean {
  return role.kind !== 'client' || !caller || isOwn(caller, role.caller);
}

function drainingError(): DarkroomError {
  return new DarkroomError(
    'SERVER_DRAINING',
    'The service is stopping. Resume the upload on another process, or once it is back.',
    { retryDelayMs: drainedRetryDelayMs },
  );
}
