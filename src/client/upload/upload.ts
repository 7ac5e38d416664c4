import { createContextValues, type CallOptions } from '@connectrpc/connect';
import { durationMs } from '@bufbuild/protobuf/wkt';
import { Task_State, type Task } from '../../../gen/darkroom/v1/task_pb.ts';
import type { UploadLimits } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { DarkroomError } from '../calls/client-error.ts';
import { Survival, type ClientCalls } from '../calls/client-calls.ts';
import type { Arithmetic } from '../calls/platform.ts';
import { abortReason } from '../calls/retry-policy.ts';
import { SilenceGuard } from '../calls/silence-guard.ts';
import { onlyOnce } from '../calls/surviving-transport.ts';
import { holeBlockBytes } from './image-pieces.ts';
import { PieceReader } from './piece-reader.ts';
import { PieceQueue, SourceFailure, type Sending, type SendingEnd } from './sending.ts';
import {
  checkFinish,
  endOfTask,
  followCommits,
  giveSignOfLife,
  idleMsOf,
  untilChecked,
} from './upload-task.ts';
import { UploadMeter } from './upload-meter.ts';
import type { NewImageRequest, SendingOptions, UploadResult } from './upload-options.ts';
import type { OpenedSource } from './upload-source.ts';

/** What an upload is for: an image that is to be made, or a task that there is. */
export type UploadAim =
  | { readonly kind: 'new'; readonly request: NewImageRequest }
  | { readonly kind: 'begun'; readonly taskId: string };

/** How the bytes of an upload travel on this platform. */
export interface UploadRoad {
  readonly send: (sending: Sending) => Promise<SendingEnd>;
  /** The size of the pieces in bytes, where nobody says it. */
  readonly chunkBytes: (limits: UploadLimits) => number;
  /** Whether a silent source ends a stream of the service. */
  readonly isStream: boolean;
}

const defaultWindowBytes = 128 * 1024 * 1024;
const defaultStreamIdleMs = 60_000;
/** A sign of life is given so often while nothing is sent, in ms. */
const signOfLifeMs = 60_000;
/** Errors that go on only so often without any progress: they should not happen at all. */
const oddReasons: ReadonlySet<string> = new Set([
  'OFFSET_MISMATCH',
  'CHUNK_CHECKSUM_MISMATCH',
  'CHUNK_TOO_LARGE',
  'WRITER_ACTIVE',
]);
const mostOdd = 8;
const mostTakeBacks = 3;

/**
 * One upload, which survives what passes: broken connections, restarts of the service, lost answers. After each failure the
 * service is asked where to go on.
 */
export class Upload {
  readonly #calls: ClientCalls;
  readonly #arithmetic: Arithmetic;
  readonly #road: UploadRoad;
  readonly #source: OpenedSource;
  readonly #aim: UploadAim;
  readonly #options: SendingOptions;
  readonly #survival: Survival;
  readonly #meter: UploadMeter;
  #reader: PieceReader | undefined;
  #limits: UploadLimits | undefined;
  #taskId = '';
  #writerEpoch: bigint | undefined;
  #offset = 0;
  /** Whether the service must be asked where to go on. */
  #isLost: boolean;
  /** How long the task waits for a sign of life, in ms. */
  #idleMs = Infinity;
  #isFirst = true;
  #hasFinished = false;
  /** Whether the service may be checking what came, by a finish of ours or of somebody else. */
  #mayBeChecked = false;
  #oddOnes = 0;
  #takeBacks = 0;
  /**
   * Calls that may still arrive late and fence us, though nobody else wants the upload: a ResumeUpload whose answer was lost,
   * a stream without an epoch that broke, or the last one of whoever had the upload before. None is left once we get further.
   */
  #ghosts: number;

  constructor(
    calls: ClientCalls,
    arithmetic: Arithmetic,
    road: UploadRoad,
    source: OpenedSource,
    aim: UploadAim,
    options: SendingOptions,
  ) {
    this.#calls = calls;
    this.#arithmetic = arithmetic;
    this.#road = road;
    this.#source = source;
    this.#aim = aim;
    this.#options = options;
    this.#survival = new Survival(calls, options);
    this.#meter = new UploadMeter(source.size ?? options.size, options.onProgress);
    this.#isLost = aim.kind === 'begun';
    this.#ghosts = aim.kind === 'begun' ? 1 : 0;
  }

  /** @throws DarkroomError, after which the upload can be gone on with unless its task is terminal; the signal's reason */
  async run(): Promise<UploadResult> {
    const { signal } = this.#options;
    try {
      for (;;) {
        try {
          signal?.throwIfAborted();
          this.#meter.step('starting');
          await this.#begin();
          const end = await this.#send();
          this.#writerEpoch = end.writerEpoch;
          this.#offset = end.committedBytes;
          if (end.isComplete) {
            return this.#result(end);
          }
          if (this.#hasFinished) {
            throw new DarkroomError(
              'ANSWER_INVALID',
              'The finish was answered as if none had come.',
            );
          }
          await this.#untilReady();
        } catch (thrown) {
          if (signal?.aborted === true) {
            throw abortReason(signal);
          }
          await this.#survive(thrown);
        }
      }
    } finally {
      this.#reader?.stop();
    }
  }

  /** Makes the image, or asks where to go on. */
  async #begin(): Promise<void> {
    const { onTask } = this.#options;
    if (this.#taskId === '') {
      if (this.#aim.kind === 'new') {
        await this.#create(this.#aim.request);
      } else {
        this.#taskId = this.#aim.taskId;
        const task = await this.#resume();
        await onTask?.({ taskId: this.#taskId, imageId: task.imageId });
      }
    }
    if (this.#isLost) {
      await this.#resume();
    }
  }

  async #create(request: NewImageRequest): Promise<void> {
    const { image, task, limits } = await this.#calls.images.createImage(request, this.#once());
    if (image === undefined || task === undefined) {
      throw new DarkroomError('ANSWER_INVALID', 'CreateImage was answered without image or task.');
    }
    this.#limits = limits;
    // Where the request was made before, the task may be any way.
    this.#isLost = task.state !== Task_State.PENDING;
    this.#taskId = task.id;
    this.#idleMs = idleMsOf(task);
    this.#meter.isFor(task.id, image.id);
    await this.#options.onTask?.({ taskId: task.id, imageId: image.id });
  }

  async #resume(): Promise<Task> {
    if (this.#mayBeChecked) {
      await untilChecked(this.#calls, this.#taskId, this.#options);
    }
    let answer;
    try {
      answer = await this.#calls.images.resumeUpload({ taskId: this.#taskId }, this.#once());
    } catch (error) {
      this.#ghosts += DarkroomError.from(error).origin === 'network' ? 1 : 0;
      throw error;
    }
    const { task, committedSize, writerEpoch, limits } = answer;
    if (task === undefined) {
      throw new DarkroomError('ANSWER_INVALID', 'ResumeUpload was answered without the task.');
    }
    this.#isLost = false;
    this.#limits = limits;
    this.#idleMs = idleMsOf(task);
    this.#meter.isFor(task.id, task.imageId);
    this.#writerEpoch = writerEpoch;
    this.#offset = Number(committedSize);
    this.#committed(this.#offset);
    return task;
  }

  async #send(): Promise<SendingEnd> {
    const guard = new SilenceGuard(this.#survival.deadAfterMs, this.#options.signal);
    const timers: ReturnType<typeof setInterval>[] = [];
    let pieces: PieceQueue | undefined;
    try {
      this.#hasFinished = false;
      const reader = this.#openReader();
      const isAnothers = this.#isFirst && this.#offset > 0;
      this.#meter.goesOn(this.#offset, !this.#isFirst || isAnothers);
      timers.push(
        setInterval(() => void giveSignOfLife(this.#calls, this.#taskId), this.#signOfLifeMs()),
      );
      if (isAnothers) {
        this.#meter.step('reading');
      }
      await fromSource(guard.signal, () =>
        reader.digestUpTo(this.#offset, guard.signal, (at) => this.#meter.read(at)),
      );
      const samples = isAnothers
        ? await fromSource(guard.signal, () => reader.samples(this.#offset, guard.signal))
        : [];
      this.#isFirst = false;
      this.#meter.step('sending');
      if (this.#road.isStream && (!reader.isSeekable || this.#options.onProgress !== undefined)) {
        void followCommits(this.#calls, this.#taskId, guard.signal, (bytes) =>
          this.#sentForGood(bytes),
        );
      }
      pieces = new PieceQueue(
        reader,
        this.#offset,
        this.#arithmetic,
        this.#silentMs(),
        guard.signal,
      );
      return await this.#road.send({
        calls: this.#calls,
        taskId: this.#taskId,
        writerEpoch: this.#writerEpoch,
        samples,
        pieces,
        arithmetic: this.#arithmetic,
        guard,
        deadAfterMs: this.#survival.deadAfterMs,
        meter: this.#meter,
        finish: () => {
          this.#hasFinished = true;
          this.#mayBeChecked = true;
          this.#meter.step('finishing');
          if (this.#road.isStream) {
            timers.push(
              setInterval(
                () => void checkFinish(this.#calls, this.#taskId, guard),
                this.#survival.deadAfterMs,
              ),
            );
          }
          const sha256 = this.#options.sha256 ?? reader.sha256();
          return { totalSize: BigInt(reader.end), ...(sha256 !== undefined && { sha256 }) };
        },
        committed: (bytes) => this.#sentForGood(bytes),
      });
    } catch (error) {
      throw guard.silence ?? error;
    } finally {
      timers.forEach((timer) => clearInterval(timer));
      pieces?.stop();
      guard.close();
    }
  }

  #openReader(): PieceReader {
    const limits = this.#limits;
    if (this.#reader === undefined) {
      const recommended = limits === undefined ? 1024 * 1024 : this.#road.chunkBytes(limits);
      const most = limits?.maxChunkBytes ?? recommended;
      const wanted = Math.min(this.#options.chunkBytes ?? recommended, most);
      const { sha256, digest = true, windowBytes = defaultWindowBytes } = this.#options;
      this.#reader = new PieceReader(this.#source, this.#arithmetic, {
        chunkBytes: Math.max(holeBlockBytes, Math.floor(wanted / holeBlockBytes) * holeBlockBytes),
        windowBytes,
        isDigested: digest && sha256 === undefined,
      });
    }
    this.#reader.committed(this.#offset);
    return this.#reader;
  }

  /** What we have sent is durable: we are the writer. */
  #sentForGood(bytes: number): void {
    this.#ghosts = bytes > this.#meter.committedBytes ? 0 : this.#ghosts;
    this.#committed(bytes);
  }

  #committed(bytes: number): void {
    if (bytes > this.#meter.committedBytes) {
      this.#survival.progressed();
      this.#oddOnes = 0;
      this.#takeBacks = 0;
    }
    this.#meter.committed(bytes);
    this.#reader?.committed(bytes);
  }

  /** Waits until a source that was silent gives something. */
  async #untilReady(): Promise<void> {
    const guard = new SilenceGuard(this.#survival.deadAfterMs, this.#options.signal);
    const timer = setInterval(
      () => void giveSignOfLife(this.#calls, this.#taskId),
      this.#signOfLifeMs(),
    );
    try {
      await fromSource(guard.signal, () => this.#openReader().ready(guard.signal));
    } finally {
      clearInterval(timer);
      guard.close();
    }
  }

  #signOfLifeMs(): number {
    return Math.min(signOfLifeMs, this.#idleMs / 3);
  }

  /** How long a source may be silent before its stream is ended. */
  #silentMs(): number {
    if (!this.#road.isStream) {
      return Infinity;
    }
    const idle = this.#limits?.streamIdleTimeout;
    return (idle === undefined ? defaultStreamIdleMs : durationMs(idle)) / 2;
  }

  /** Waits until it is time to go on after an error. @throws the error if that makes no sense */
  async #survive(thrown: unknown): Promise<void> {
    if (thrown instanceof SourceFailure) {
      throw sourceError(thrown.cause);
    }
    let error = DarkroomError.from(thrown);
    if (error.reason === 'TASK_TERMINAL' || error.reason === 'TASK_EXPIRED') {
      throw await endOfTask(this.#calls, this.#taskId, error);
    }
    const isGhost = this.#writerEpoch === undefined && !this.#isFirst && error.origin === 'network';
    this.#ghosts += isGhost ? 1 : 0;
    // Until there is a task there is nothing to be lost.
    this.#isLost = this.#taskId !== '';
    if (error.reason === 'WRITER_FENCED') {
      error = this.#fenced(error);
    } else if (oddReasons.has(error.reason)) {
      this.#oddOnes += 1;
      if (this.#oddOnes > mostOdd) {
        throw error;
      }
      // Somebody is just checking what has all come.
      this.#mayBeChecked ||= error.reason === 'WRITER_ACTIVE';
    } else if (!this.#survival.passes(error)) {
      throw error;
    }
    await this.#survival.wait(error, (waiting) => this.#meter.waits(waiting));
  }

  #fenced(error: DarkroomError): DarkroomError {
    if (this.#ghosts > 0) {
      this.#ghosts -= 1;
      return error;
    }
    if (this.#options.onFenced !== 'take-back' || this.#takeBacks >= mostTakeBacks) {
      throw error;
    }
    this.#takeBacks += 1;
    // The other one may do the same: whoever comes later should find that it has got somewhere.
    return new DarkroomError(error.reason, error.message, {
      origin: error.origin,
      retryAfterMs: 1000 * 2 ** this.#takeBacks * (0.5 + Math.random()),
      cause: error,
    });
  }

  #result({ image, task, committedBytes }: SendingEnd): UploadResult {
    if (image === undefined || task === undefined) {
      throw new DarkroomError('ANSWER_INVALID', 'The upload was answered without image or task.');
    }
    this.#meter.step('done');
    return {
      image,
      task,
      sizeBytes: committedBytes,
      sha256: this.#options.sha256 ?? this.#reader?.sha256(),
      sentBytes: this.#meter.sentBytes,
      holeBytes: this.#meter.holeBytes,
      resumes: this.#meter.resumes,
    };
  }

  #once(): CallOptions {
    const { signal } = this.#options;
    return {
      contextValues: createContextValues().set(onlyOnce, true),
      ...(signal !== undefined && { signal }),
    };
  }
}

/** What the source throws, told apart from all else. */
async function fromSource<T>(signal: AbortSignal, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    signal.throwIfAborted();
    throw new SourceFailure(error);
  }
}

function sourceError(cause: unknown): DarkroomError {
  return cause instanceof DarkroomError
    ? cause
    : new DarkroomError(
        'SOURCE_UNREADABLE',
        `The source could not be read: ${cause instanceof Error ? cause.message : String(cause)}`,
        { cause },
      );
}
