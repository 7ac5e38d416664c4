import { isDatabaseAway } from '../database/database-away.ts';
import { untilAborted } from '../domain/abortable.ts';
import type { Caller } from '../domain/caller.ts';
import { DarkroomError, invalidField } from '../domain/darkroom-error.ts';
import { parseId, type TaskId } from '../domain/ids.ts';
import type { Task } from '../tasks/task.ts';
import { attachWriter, giveToNewWriter, type Attachment } from './attach-writer.ts';
import type { FinishClaim } from './finish-claim.ts';
import { callPaths, compare, compareFrames, receiveFrames, take } from './frame-road.ts';
import { StreamWatchdog } from './stream-watchdog.ts';
import { SucceededUpload } from './succeeded-upload.ts';
import {
  assertSound,
  frameOrder,
  type ChunkFrame,
  type HoleFrame,
  type UploadFrame,
} from './upload-frame.ts';
import type { UploadParts } from './upload-parts.ts';
import { UploadSession } from './upload-session.ts';

/** The connection on which an upload comes. */
export interface UploadConnection {
  /** For people: who sends. */
  readonly peer: string;
  /** Fires when the client is gone or its deadline has passed. */
  readonly signal: AbortSignal;
  /** Counts the bytes as they come in from the network. */
  bytesReceived(): number;
}

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

/** What is done with an upload, by how it stands; both answer the finish that was received. */
interface Roads {
  readonly session: (session: UploadSession) => Promise<FinishClaim | undefined>;
  readonly succeeded: (upload: SucceededUpload) => Promise<FinishClaim | undefined>;
}

/** Takes uploads: the stream and the unary calls are two doors to the same sessions. */
export class UploadService {
  readonly #parts: UploadParts;
  /** How many calls of this process have, or are about to have, a task's upload. */
  readonly #held = new Map<TaskId, number>();
  readonly #sessions = new Set<UploadSession>();
  /** Told once no upload is held any more. */
  #onIdle: (() => void) | undefined;

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
    const { streamIdleTimeoutMs: idleTimeoutMs, minUploadRate: minRate } = this.#parts.limits;
    const watchdog = new StreamWatchdog(
      { idleTimeoutMs, minRate },
      () => connection.bytesReceived(),
      connection.signal,
    );
    try {
      const first = await watchdog.wait(frames.next());
      const header = first.done ? undefined : first.value;
      if (header?.kind !== 'header') {
        throw frameOrder(
          header ? `The first frame is a ${header.kind}` : 'Nothing came',
          'a header',
        );
      }
      const next = async (session?: UploadSession): Promise<UploadFrame | undefined> => {
        const coming = watchdog.wait(frames.next());
        const frame = await (session ? untilAborted(session.aborted, coming) : coming);
        return frame.done ? undefined : frame.value;
      };
      const roads: Roads = {
        session: (session) =>
          receiveFrames(session, () => next(session), this.#parts.limits.maxChunkBytes),
        succeeded: (upload) => compareFrames(upload, next),
      };
      return await this.#withUpload(caller, header, connection.peer, roads, 'header.');
    } finally {
      watchdog.stop();
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
    return this.#withUpload(caller, call, peer, {
      session: async (session) => {
        if (frame) {
          assertSound(frame, this.#parts.limits.maxChunkBytes, callPaths);
          await take(session, frame);
        }
        return finish;
      },
      succeeded: async (upload) => {
        if (frame) {
          await compare(upload, frame);
        }
        return finish;
      },
    });
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
    return this.#withUpload(undefined, { taskId, writerEpoch: undefined }, 'the service itself', {
      session: () => Promise.resolve(claim),
      succeeded: () => Promise.resolve(undefined),
    });
  }

  /** Whether this process has the task's upload. */
  holds(taskId: TaskId): boolean {
    return this.#held.has(taskId);
  }

  /** How many uploads are under way in this process. */
  get count(): number {
    return this.#sessions.size;
  }

  /**
   * Ends all uploads that are under way, and resolves when each has made durable what it had. Their
   * tasks go on, on another process or after a restart.
   */
  async drain(): Promise<void> {
    const error = new DarkroomError(
      'SERVER_DRAINING',
      'The service is stopping. Resume the upload on another process, or once it is back.',
      { retryDelayMs: 1000 },
    );
    for (const session of this.#sessions) {
      session.abort(error);
    }
    if (this.#held.size > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#onIdle = resolve;
      await promise;
    }
  }

  async #withUpload(
    caller: Caller | undefined,
    header: { readonly taskId: string; readonly writerEpoch: number | undefined },
    peer: string,
    roads: Roads,
    path = '',
  ): Promise<UploadOutcome> {
    const taskId = parseId<TaskId>(header.taskId, `${path}task_id`);
    const epoch = header.writerEpoch;
    if (epoch !== undefined && (!Number.isSafeInteger(epoch) || epoch < 1)) {
      throw invalidField(`${path}writer_epoch`, 'must be an epoch that ResumeUpload answered with');
    }
    const release = this.#hold(taskId);
    try {
      const attachment = await attachWriter(
        this.#parts.ledger,
        taskId,
        { caller, epoch, processId: this.#parts.processId, peer },
        this.#parts.limits,
      );
      return attachment.kind === 'succeeded'
        ? await this.#withSucceeded(attachment, roads.succeeded)
        : await this.#withSession(attachment, roads.session);
    } finally {
      release();
    }
  }

  async #withSession(
    { lease }: Extract<Attachment, { kind: 'lease' }>,
    work: (session: UploadSession) => Promise<FinishClaim | undefined>,
  ): Promise<UploadOutcome> {
    const session = await UploadSession.open(this.#parts, lease);
    this.#sessions.add(session);
    const { taskId, epoch: writerEpoch } = lease;
    try {
      const claim = await work(session);
      if (claim) {
        await session.finish(claim);
        return { taskId, committedSize: claim.totalSize, complete: true, writerEpoch };
      }
      await session.leave();
      return { taskId, committedSize: session.committedSize, complete: false, writerEpoch };
    } catch (error) {
      throw await session.abandon(asDarkroomError(error));
    } finally {
      this.#sessions.delete(session);
    }
  }

  async #withSucceeded(
    { image, task }: Extract<Attachment, { kind: 'succeeded' }>,
    work: (upload: SucceededUpload) => Promise<FinishClaim | undefined>,
  ): Promise<UploadOutcome> {
    const { database, store } = this.#parts;
    const upload = await SucceededUpload.open(database, store, image, task);
    try {
      const claim = await work(upload);
      if (claim) {
        upload.finish(claim);
      }
    } finally {
      await upload.close();
    }
    return {
      taskId: task.id,
      committedSize: upload.size,
      complete: true,
      writerEpoch: task.writerEpoch,
    };
  }

  /** Counts a task as held by this process; the answer ends that. */
  #hold(taskId: TaskId): () => void {
    this.#held.set(taskId, (this.#held.get(taskId) ?? 0) + 1);
    return () => {
      const left = (this.#held.get(taskId) ?? 1) - 1;
      if (left > 0) {
        this.#held.set(taskId, left);
      } else {
        this.#held.delete(taskId);
        if (this.#held.size === 0) {
          this.#onIdle?.();
        }
      }
    };
  }
}

function asDarkroomError(error: unknown): DarkroomError {
  if (error instanceof DarkroomError) {
    return error;
  }
  return isDatabaseAway(error)
    ? new DarkroomError(
        'DATABASE_UNAVAILABLE',
        'The database cannot be reached. The upload can be resumed once it is back.',
        { cause: error, retryDelayMs: 1000 },
      )
    : new DarkroomError(
        'INTERNAL',
        'The upload was ended by a failure of the service itself. It can be resumed.',
        { cause: error },
      );
}
