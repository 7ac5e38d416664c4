import type { Caller } from '../domain/caller.ts';
import { DarkroomError, invalidField } from '../domain/darkroom-error.ts';
import { parseId, type TaskId } from '../domain/ids.ts';
import type { Task } from '../tasks/task.ts';
import {
  attachWriter,
  giveToNewWriter,
  type Attachment,
  type WriterRole,
} from './attach-writer.ts';
import { soundClaim, type FinishClaim } from './finish-claim.ts';
import { Interruption } from './interruption.ts';
import { knownError } from './known-error.ts';
import { LeaseWatch } from './lease-watch.ts';
import { recordEnd, settleUpload, type SettleEnd } from './session-end.ts';
import { SucceededUpload, type SucceededTask } from './succeeded-upload.ts';
import { assertSound, type ChunkFrame, type HoleFrame, type UploadFrame } from './upload-frame.ts';
import type { UploadParts } from './upload-parts.ts';
import { UploadSession } from './upload-session.ts';
import { UploadStream, type DataTaker, type UploadConnection } from './upload-stream.ts';
import type { WriterLease } from './writer-lease.ts';

export type { UploadConnection };

/** How an upload stands. */
export interface UploadOutcome {
  readonly taskId: TaskId;
  /** Bytes from the image's start that are durably stored. */
  readonly committedSize: number;
  /** Whether the image is ACTIVE by this task. */
  readonly complete: boolean;
  /** The epoch with which to go on. */
  readonly writerEpoch: number;
}

/** One call of the unary road. */
export interface ChunkCall {
  readonly taskId: string;
  readonly writerEpoch: number | undefined;
  readonly frame: ChunkFrame | HoleFrame | undefined;
  readonly finish: FinishClaim | undefined;
}

/** A call that has, or is about to have, an upload. */
interface UploadCall {
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

/** Brings the bytes of an import. */
export interface Fetcher {
  /** For people: who fetches. */
  readonly peer: string;
  /** How many imports of one project may be fetched at the same time, over all processes. */
  readonly maxOfProject: number;
  readonly fetch: (
    interruption: Interruption,
    take: DataTaker,
    lease: WriterLease,
  ) => Promise<FinishClaim>;
  readonly settle: SettleEnd;
}

/** Another process, or the successor of this one, is there in about a second. */
const drainedRetryDelayMs = 1000;

const callPaths = { offset: 'offset', data: 'data', length: 'hole_length' };

/** Takes uploads: the stream and the unary calls are two doors to the same sessions. */
export class UploadService {
  readonly #parts: UploadParts;
  /** The calls under way, each with what ends it. */
  readonly #calls = new Map<UploadCall, Interruption>();
  #isDraining = false;
  #onIdle: (() => void)[] = [];

  constructor(parts: UploadParts) {
    this.#parts = parts;
  }

  /**
   * Takes the frames of one stream. Resolves when the client has half-closed and all is durable, and
   * after a finish when the image is ACTIVE.
   *
   * @throws DarkroomError any of UploadImage's; what could be kept is durable and the fault recorded.
   */
  async receive(
    caller: Caller,
    frames: AsyncIterator<UploadFrame>,
    connection: UploadConnection,
  ): Promise<UploadOutcome> {
    const { streamIdleTimeoutMs, minUploadRate, maxChunkBytes } = this.#parts.limits;
    const pace = { idleTimeoutMs: streamIdleTimeoutMs, minRate: minUploadRate };
    const stream = new UploadStream(frames, connection, pace, maxChunkBytes);
    try {
      const header = await stream.header();
      return await this.#take({
        role: {
          kind: 'client',
          caller,
          epoch: soundEpoch(header.writerEpoch, 'header.writer_epoch'),
        },
        taskId: parseId<TaskId>(header.taskId, 'header.task_id'),
        peer: connection.peer,
        send: (interruption, take) => stream.receive(interruption, take),
        settle: settleUpload,
      });
    } catch (error) {
      throw this.#known(error);
    } finally {
      stream.end();
    }
  }

  /**
   * Takes one unary call. Resolves when its bytes are durable, and after a finish when the image is ACTIVE.
   *
   * @throws DarkroomError any of UploadChunk's.
   */
  async receiveCall(caller: Caller, call: ChunkCall, peer: string): Promise<UploadOutcome> {
    const { frame, finish } = call;
    if (!frame && !finish) {
      throw invalidField('data', 'must not be empty, unless hole_length or finish is set');
    }
    const claim = finish && soundClaim(finish, 'finish');
    try {
      return await this.#take({
        role: { kind: 'client', caller, epoch: soundEpoch(call.writerEpoch, 'writer_epoch') },
        taskId: parseId<TaskId>(call.taskId, 'task_id'),
        peer,
        settle: settleUpload,
        send: async (_, take) => {
          if (frame) {
            assertSound(frame, this.#parts.limits.maxChunkBytes, callPaths);
            await take(frame);
          }
          return claim;
        },
      });
    } catch (error) {
      throw this.#known(error);
    }
  }

  /** Gives an upload to a new writer. @throws DarkroomError any of ResumeUpload's. */
  async resume(caller: Caller, taskId: TaskId, peer: string): Promise<Task> {
    return giveToNewWriter(this.#parts.ledger, taskId, caller, peer);
  }

  /**
   * Completes an upload whose finish was received, and whose process then died.
   *
   * @throws DarkroomError as UploadImage; the fault is recorded.
   */
  async complete(taskId: TaskId, claim: FinishClaim): Promise<UploadOutcome> {
    try {
      return await this.#take({
        role: { kind: 'completion' },
        taskId,
        peer: 'the service itself',
        send: () => Promise.resolve(claim),
        settle: settleUpload,
      });
    } catch (error) {
      throw this.#known(error);
    }
  }

  /**
   * Takes the bytes of an import from a fetcher, unless another worker has it, it has ended, or too many
   * of its project are fetched just now: undefined then. Resolves when the image is ACTIVE.
   *
   * @throws DarkroomError with which it ended; it is recorded.
   */
  async fetch(taskId: TaskId, fetcher: Fetcher): Promise<UploadOutcome | undefined> {
    const { peer, maxOfProject, settle } = fetcher;
    try {
      return await this.#takeIfOpen({
        role: { kind: 'import', maxOfProject },
        taskId,
        peer,
        send: async (interruption, take, lease) =>
          lease && (await fetcher.fetch(interruption, take, lease)),
        settle,
      });
    } catch (error) {
      throw this.#known(error);
    }
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
    for (const interruption of this.#calls.values()) {
      interruption.interrupt(drainingError());
    }
    if (this.#calls.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle.push(resolve);
      });
    }
  }

  async #take(call: UploadCall): Promise<UploadOutcome> {
    const outcome = await this.#takeIfOpen(call);
    if (!outcome) {
      throw new DarkroomError('INTERNAL', `Task ${call.taskId} was claimed as an import.`);
    }
    return outcome;
  }

  async #takeIfOpen(call: UploadCall): Promise<UploadOutcome | undefined> {
    if (this.#isDraining) {
      throw drainingError();
    }
    const { database, ledger, changes, processId, limits } = this.#parts;
    const { role, taskId, peer } = call;
    const interruption = new Interruption();
    // Held before it is attached, so that whoever finds this process attached can ask whether it is.
    this.#calls.set(call, interruption);
    const watch = new LeaseWatch(database, changes, taskId);
    try {
      const isHeldBesides = (): boolean => this.#callsOf(taskId) > 1;
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
      return await this.#append(attachment.lease, call, interruption);
    } finally {
      watch.end();
      this.#release(call);
    }
  }

  async #append(
    lease: WriterLease,
    call: UploadCall,
    interruption: Interruption,
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
        await session.finish(claim);
        return { taskId, committedSize: claim.totalSize, complete: true, writerEpoch };
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

  #callsOf(taskId: TaskId): number {
    return this.#calls.keys().reduce((n, call) => n + (call.taskId === taskId ? 1 : 0), 0);
  }

  #release(call: UploadCall): void {
    this.#calls.delete(call);
    if (this.#calls.size === 0) {
      for (const resolve of this.#onIdle.splice(0)) {
        resolve();
      }
    }
  }
}

function soundEpoch(epoch: number | undefined, path: string): number | undefined {
  if (epoch !== undefined && (!Number.isSafeInteger(epoch) || epoch < 1)) {
    throw invalidField(path, 'must be an epoch that ResumeUpload answered with');
  }
  return epoch;
}

function drainingError(): DarkroomError {
  return new DarkroomError(
    'SERVER_DRAINING',
    'The service is stopping. Resume the upload on another process, or once it is back.',
    { retryDelayMs: drainedRetryDelayMs },
  );
}
