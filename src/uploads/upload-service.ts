import type { Caller } from '../domain/caller.ts';
import { DarkroomError, invalidField } from '../domain/darkroom-error.ts';
import { parseId, type TaskId } from '../domain/ids.ts';
import type { Task } from '../tasks/task.ts';
import { attachWriter, giveToNewWriter, type Attachment } from './attach-writer.ts';
import { soundClaim, type FinishClaim } from './finish-claim.ts';
import { Interruption } from './interruption.ts';
import { knownError } from './known-error.ts';
import { LeaseWatch } from './lease-watch.ts';
import { recordEnd } from './session-end.ts';
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
  readonly caller: Caller | undefined;
  readonly taskId: TaskId;
  readonly epoch: number | undefined;
  readonly peer: string;
  /**
   * Hands what the client sends to `take`, and answers what its finish claims; undefined without one.
   *
   * @param interruption ends what it waits for.
   */
  readonly send: (interruption: Interruption, take: DataTaker) => Promise<FinishClaim | undefined>;
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
        caller,
        taskId: parseId<TaskId>(header.taskId, 'header.task_id'),
        epoch: soundEpoch(header.writerEpoch, 'header.writer_epoch'),
        peer: connection.peer,
        send: (interruption, take) => stream.receive(interruption, take),
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
        caller,
        taskId: parseId<TaskId>(call.taskId, 'task_id'),
        epoch: soundEpoch(call.writerEpoch, 'writer_epoch'),
        peer,
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
        caller: undefined,
        taskId,
        epoch: undefined,
        peer: 'the service itself',
        send: () => Promise.resolve(claim),
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
    if (this.#isDraining) {
      throw drainingError();
    }
    const { database, ledger, changes, processId, limits } = this.#parts;
    const { caller, taskId, epoch, peer } = call;
    const interruption = new Interruption();
    // Held before it is attached, so that whoever finds this process attached can ask whether it is.
    this.#calls.set(call, interruption);
    const watch = new LeaseWatch(database, changes, taskId);
    try {
      const isHeldBesides = (): boolean => this.#callsOf(taskId) > 1;
      const attachment: Attachment = await attachWriter(
        ledger,
        taskId,
        { caller, epoch, processId, peer, isHeldBesides },
        limits,
      );
      if (attachment.kind === 'succeeded') {
        return await this.#compare(attachment, call, interruption);
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
    const session = await this.#openSession(lease, interruption);
    const { taskId, epoch: writerEpoch } = lease;
    try {
      const claim = await call.send(interruption, (frame) =>
        frame.kind === 'chunk'
          ? session.append(frame.offset, frame.data)
          : session.appendHole(frame.offset, frame.length),
      );
      if (claim) {
        await session.finish(claim);
        return { taskId, committedSize: claim.totalSize, complete: true, writerEpoch };
      }
      await session.leave();
      return { taskId, committedSize: session.committedSize, complete: false, writerEpoch };
    } catch (error) {
      throw await session.abandon(this.#known(error));
    }
  }

  async #openSession(lease: WriterLease, interruption: Interruption): Promise<UploadSession> {
    try {
      return await UploadSession.open(this.#parts, lease, interruption);
    } catch (error) {
      const { committedSize } = lease;
      const end = { committedSize, claim: undefined };
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
      const claim = await call.send(interruption, (frame) =>
        upload.compare(frame.offset, frame.kind === 'chunk' ? frame.data : frame.length),
      );
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
