import type { Caller } from '../../access/caller.ts';
import { DarkroomError, invalidField } from '../../domain/darkroom-error.ts';
import { parseId, type TaskId } from '../../records/ids.ts';
import type { Task } from '../../records/task.ts';
import { giveToNewWriter } from '../lease/attach-writer.ts';
import { soundClaim, type FinishClaim } from '../publishing/finish-claim.ts';
import type { Interruption } from '../../domain/interruption.ts';
import { knownError } from './known-error.ts';
import { settleUpload, type SettleEnd } from './session-end.ts';
import { UploadCalls, type UploadCall, type UploadOutcome } from './upload-calls.ts';
import { assertSound, type ChunkFrame, type HoleFrame, type UploadFrame } from './upload-frame.ts';
import type { UploadIntake } from './upload-intake.ts';
import type { UploadParts } from './upload-parts.ts';
import { endOfBody, type UploadBody } from './upload-body.ts';
import { UploadStream, type DataTaker, type UploadConnection } from './upload-stream.ts';
import { importStaged, markStaged } from './staged-upload.ts';
import type { WriterLease } from '../lease/writer-lease.ts';

export type { UploadOutcome };
export type { UploadConnection };

/** One call of the unary road. */
export interface ChunkCall {
  readonly taskId: string;
  readonly writerEpoch: number | undefined;
  readonly frame: ChunkFrame | HoleFrame | undefined;
  readonly finish: FinishClaim | undefined;
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

/** How long a resume waits for the record of a stream that broke off, in ms. */
const endPatienceMs = 1000;

const callPaths = { offset: 'offset', data: 'data', length: 'hole_length' };

/** Takes uploads: the stream and the unary calls are two doors to the same sessions. */
export class UploadService implements UploadIntake {
  readonly #parts: UploadParts;
  readonly #calls: UploadCalls;

  constructor(parts: UploadParts) {
    this.#parts = parts;
    this.#calls = new UploadCalls(parts);
  }

  async receive(
    caller: Caller,
    frames: AsyncIterator<UploadFrame>,
    connection: UploadConnection,
  ): Promise<UploadOutcome> {
    const stream = this.#streamOf(frames, connection);
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
   * Takes the bytes of a stream that has no frames, and whose end stands for the finish. Resolves when all is durable, and
   * where the end is the image's, when the image is ACTIVE, or all of it staged.
   *
   * @throws DarkroomError any of UploadImage's; STATEMENT_MISMATCH, SIZE_UNSTATED; what could be kept is durable and the
   *   fault recorded.
   */
  async receiveBody(
    caller: Caller,
    body: UploadBody,
    connection: UploadConnection,
  ): Promise<UploadOutcome> {
    const { taskId, terms, writerEpoch: epoch } = body;
    const stream = this.#streamOf(body.chunks, connection);
    let staged: FinishClaim | undefined;
    try {
      this.#assertNotTooLarge(terms.stated.size);
      const outcome = await this.#take({
        role: { kind: 'client', caller, epoch, terms },
        taskId,
        peer: connection.peer,
        send: async (interruption, take, lease) => {
          let position = body.offset;
          await stream.receive(interruption, async (frame) => {
            position += frame.kind === 'chunk' ? frame.data.byteLength : frame.length;
            await take(frame);
          });
          const end = endOfBody(body, position, lease);
          if (end.kind !== 'whole' || terms.purpose === 'publish') {
            return end.kind === 'whole' ? end : undefined;
          }
          staged = end;
          return undefined;
        },
        settle: settleUpload,
      });
      if (staged !== undefined && !outcome.complete) {
        await markStaged(this.#parts.ledger, caller, outcome, staged);
      }
      return outcome;
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

  /**
   * Gives an upload to a new writer. A stream of it that has just broken off here is recorded first, so that its fault is
   * told and the client goes on after all that came.
   *
   * @throws DarkroomError any of ResumeUpload's.
   */
  async resume(caller: Caller, taskId: TaskId, peer: string): Promise<Task> {
    await this.#calls.brokenOffEnded(taskId, caller, endPatienceMs);
    return giveToNewWriter(this.#parts.ledger, taskId, caller, peer);
  }

  /**
   * Resolves when a stream of the task that has just broken off here is recorded, or soon: whoever sends again must not find
   * it still there.
   */
  untilBrokenOffEnded(caller: Caller, taskId: TaskId): Promise<void> {
    return this.#calls.brokenOffEnded(taskId, caller, endPatienceMs);
  }

  /**
   * Makes staged bytes the image's: resolves once it is certain that they will be, unless their checks fail, which goes on
   * by itself.
   *
   * @throws DarkroomError as `importStaged`.
   */
  async importStaged(caller: Caller, taskId: TaskId, requestId: string): Promise<void> {
    const claim = await importStaged(this.#parts.ledger, caller, taskId, requestId);
    this.complete(taskId, claim).catch((error: unknown) => {
      this.#parts.logger.info({ err: error, taskId }, 'staged bytes could not be imported');
    });
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
      return await this.#calls.run({
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
    return this.#calls.holds(taskId);
  }

  /** How many uploads are under way in this process. */
  get count(): number {
    return this.#calls.count;
  }

  /**
   * Ends all uploads that are under way, takes no more, and resolves when each has made durable what it
   * had. Their tasks go on, on another process or after a restart.
   */
  drain(): Promise<void> {
    return this.#calls.drain();
  }

  #streamOf(frames: AsyncIterator<UploadFrame>, connection: UploadConnection): UploadStream {
    const { streamIdleTimeoutMs, minUploadRate, maxChunkBytes } = this.#parts.limits;
    const pace = { idleTimeoutMs: streamIdleTimeoutMs, minRate: minUploadRate };
    return new UploadStream(frames, connection, pace, maxChunkBytes);
  }

  /** Before a byte is taken, and without an end to the task. @throws DarkroomError SIZE_EXCEEDED */
  #assertNotTooLarge(size: number | undefined): void {
    const { maxImageBytes } = this.#parts.limits;
    if (size !== undefined && size > maxImageBytes) {
      throw new DarkroomError(
        'SIZE_EXCEEDED',
        `The image is said to have ${size} bytes, and ${maxImageBytes} are the most that is taken.`,
        { metadata: { limit: String(maxImageBytes) } },
      );
    }
  }

  async #take(call: UploadCall): Promise<UploadOutcome> {
    const outcome = await this.#calls.run(call);
    if (!outcome) {
      throw new DarkroomError('INTERNAL', `Task ${call.taskId} was claimed as an import.`);
    }
    return outcome;
  }

  #known(error: unknown): DarkroomError {
    return knownError(error, this.#parts.logger);
  }
}

function soundEpoch(epoch: number | undefined, path: string): number | undefined {
  if (epoch !== undefined && (!Number.isSafeInteger(epoch) || epoch < 1)) {
    throw invalidField(path, 'must be an epoch that ResumeUpload answered with');
  }
  return epoch;
}
