import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { Fault } from '../../../gen/darkroom/v1/fault_pb.ts';
import type { Image } from '../../../gen/darkroom/v1/image_pb.ts';
import type { Task } from '../../../gen/darkroom/v1/task_pb.ts';
import { Code } from '../../../gen/google/rpc/code_pb.ts';
import { endingWith, Survival, type ClientCalls } from '../calls/client-calls.ts';
import { DarkroomError } from '../calls/client-error.ts';
import { within } from '../calls/abortable.ts';
import { randomId } from '../calls/random-id.ts';
import { abortReason } from '../calls/retry-policy.ts';
import { uploadImage, type UploadPlatform } from '../upload/upload-image.ts';
import type { NewImage, SendingOptions, UploadResult } from '../upload/upload-options.ts';
import type { UploadSource } from '../upload/upload-source.ts';
import { failureOf } from '../watch/task-end.ts';
import { isTerminal, watchTask } from '../watch/watch-task.ts';

/** How a snapshot is to be. Sizes are in bytes, times in ms. */
export type SnapshotOptions = NewImage &
  SendingOptions & {
    /** Labels of the task, such as the id of the machine. */
    readonly labels?: Readonly<Record<string, string>>;
    /** What becomes of the task when the signal is aborted: it is cancelled, or left to be gone on with. `cancel` if not set. */
    readonly onAbort?: 'cancel' | 'leave';
  };

/** How far the producer of a snapshot is. */
export interface ProducerProgress {
  /** What it is doing, for people: at most 1,024 characters. */
  readonly message?: string;
  readonly bytesDone?: number;
  readonly bytesTotal?: number;
}

/** A snapshot that is being taken, as its producer has it. */
export interface SnapshotInProgress {
  readonly image: Image;
  readonly task: Task;
  /** Aborted when nobody wants the snapshot any more: the task was cancelled, or the caller's signal aborted. */
  readonly signal: AbortSignal;
  /** Tells all who follow the task. @throws DarkroomError */
  readonly report: (progress: ProducerProgress) => Promise<void>;
}

/** Takes the snapshot, and gives what is to be uploaded: it may begin before all of it is there. */
export type SnapshotProducer = (
  snapshot: SnapshotInProgress,
) => UploadSource | Promise<UploadSource>;

/** What a producer may throw, to say what the fault on the task is to be. */
export class ProducerFault extends Error {
  override readonly name = 'ProducerFault';
  /** UPPER_SNAKE_CASE, at most 63 characters. */
  readonly reason: string;
  readonly code: Code;
  /** For operators only. */
  readonly detail: string | undefined;

  constructor(
    reason: string,
    message: string,
    options: { readonly code?: Code; readonly detail?: string; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.code = options.code ?? Code.INTERNAL;
    this.detail = options.detail;
  }
}

const signOfLifeMs = 60_000;
/** An abort waits so long at most for the cancelling of the task, in ms. */
const cancelMs = 5_000;
const reasonPattern = /^[A-Z][A-Z0-9_]{0,62}$/;
const mostMessage = 1024;
const mostDetail = 4096;

/**
 * Does the whole of a snapshot: makes image and task, has the producer take it, uploads what it gives. When the producer, or
 * the source that it gave, throws, that is a fault of the task, and whoever waits for the image knows that it will not come.
 *
 * @throws DarkroomError PRODUCER_FAILED (`cause` is what was thrown, `fault` what was written); what ended the task; as
 *   uploadImage; the signal's reason
 */
export async function runSnapshot(
  calls: ClientCalls,
  platform: UploadPlatform,
  options: SnapshotOptions,
  producer: SnapshotProducer,
): Promise<UploadResult> {
  const { signal, onTask, onAbort = 'cancel' } = options;
  const { image, task } = await createSnapshot(calls, options);
  const end = new AbortController();
  const stop = (): void => end.abort(signal?.reason);
  signal?.addEventListener('abort', stop);
  if (signal?.aborted === true) {
    stop();
  }
  const lives = setInterval(() => {
    // What has become of the task is told by the watch.
    calls.tasks.reportProgress({ taskId: task.id }).catch(() => undefined);
  }, signOfLifeIntervalMs(options));
  void endWithTask(calls, task.id, end);
  try {
    await onTask?.({ taskId: task.id, imageId: image.id });
    end.signal.throwIfAborted();
    const source = await producer({
      image,
      task,
      signal: end.signal,
      report: (progress) => report(calls, task.id, progress, end.signal),
    });
    clearInterval(lives);
    const { onTask: _, ...sending } = options;
    return await uploadImage(calls, platform, source, {
      ...sending,
      taskId: task.id,
      signal: end.signal,
    });
  } catch (thrown) {
    if (signal?.aborted === true) {
      if (onAbort === 'cancel') {
        await within(cancel(calls, task.id), cancelMs);
      }
      throw abortReason(signal);
    }
    if (end.signal.aborted) {
      throw abortReason(end.signal);
    }
    if (isProducers(thrown)) {
      throw await reportFailure(calls, task.id, thrown);
    }
    throw thrown;
  } finally {
    clearInterval(lives);
    signal?.removeEventListener('abort', stop);
    end.abort();
  }
}

async function createSnapshot(
  calls: ClientCalls,
  options: SnapshotOptions,
): Promise<{ readonly image: Image; readonly task: Task }> {
  const { labels = {}, size, sha256, decompress = false, idleTimeoutMs } = options;
  const { image, task } = await calls.images.createImage(
    {
      image: options.image,
      requestId: options.requestId ?? randomId(),
      ...(options.imageId !== undefined && { imageId: options.imageId }),
      ...(idleTimeoutMs !== undefined && { idleTimeout: durationFromMs(idleTimeoutMs) }),
      source: {
        case: 'snapshot',
        value: {
          labels,
          decompress,
          ...(size !== undefined && { totalSize: BigInt(size) }),
          ...(sha256 !== undefined && { sha256 }),
        },
      },
    },
    endingWith(options.signal),
  );
  if (image === undefined || task === undefined) {
    throw new DarkroomError('ANSWER_INVALID', 'CreateImage was answered without image or task.');
  }
  return { image, task };
}

function signOfLifeIntervalMs({ idleTimeoutMs = Infinity }: SnapshotOptions): number {
  return Math.max(100, Math.min(signOfLifeMs, idleTimeoutMs / 3));
}

/** Aborts when the task ends other than by its success. */
async function endWithTask(
  calls: ClientCalls,
  taskId: string,
  end: AbortController,
): Promise<void> {
  try {
    for await (const news of watchTask(calls, taskId, { signal: end.signal })) {
      if (news.kind !== 'progress' && isTerminal(news.task.state)) {
        const failure = failureOf(news.task);
        if (failure !== undefined) {
          end.abort(failure);
        }
      }
    }
  } catch {
    // Then the task's end is learnt by the next call about it.
  }
}

async function report(
  calls: ClientCalls,
  taskId: string,
  { message = '', bytesDone, bytesTotal }: ProducerProgress,
  signal: AbortSignal,
): Promise<void> {
  await calls.tasks.reportProgress(
    {
      taskId,
      message: forPeople(message, mostMessage),
      ...(bytesDone !== undefined && { bytesDone: BigInt(bytesDone) }),
      ...(bytesTotal !== undefined && { bytesTotal: BigInt(bytesTotal) }),
    },
    { signal },
  );
}

/** Whether it is the producer, or the source that it gave, that failed. */
function isProducers(thrown: unknown): boolean {
  return (
    !(thrown instanceof DarkroomError) ||
    thrown.reason === 'SOURCE_UNREADABLE' ||
    (thrown.reason === 'SOURCE_CHANGED' && thrown.origin === 'client')
  );
}

/** Writes what the producer threw on the task, and answers with the error for the caller. */
async function reportFailure(
  calls: ClientCalls,
  taskId: string,
  thrown: unknown,
): Promise<DarkroomError> {
  const cause =
    thrown instanceof DarkroomError && thrown.reason === 'SOURCE_UNREADABLE'
      ? thrown.cause
      : thrown;
  const fault = faultOf(cause);
  const survival = new Survival(calls, {});
  let written: Fault | undefined;
  for (let isTried = false; ; isTried = true) {
    try {
      written = (await calls.tasks.reportFault({ taskId, ...fault, fatal: true })).fault;
      break;
    } catch (error) {
      const failure = DarkroomError.from(error);
      if (isTried && failure.reason === 'TASK_TERMINAL') {
        // The first one came through, and its answer did not.
        break;
      }
      if (!survival.passes(failure)) {
        return new DarkroomError(
          'PRODUCER_FAILED',
          `${fault.message} (not reported: ${failure.message})`,
          {
            cause,
          },
        );
      }
      await survival.wait(failure);
    }
  }
  return new DarkroomError('PRODUCER_FAILED', fault.message, { cause, fault: written });
}

function faultOf(cause: unknown): {
  readonly code: Code;
  readonly reason: string;
  readonly message: string;
  readonly detail: string;
} {
  const said = cause instanceof Error ? cause.message : String(cause);
  const message = forPeople(said, mostMessage).trim() || 'The producer of the snapshot failed.';
  if (cause instanceof ProducerFault) {
    return {
      code: cause.code,
      reason: reasonPattern.test(cause.reason) ? cause.reason : 'PRODUCER_FAILED',
      message,
      detail: forPeople(cause.detail ?? '', mostDetail),
    };
  }
  const stack = cause instanceof Error ? (cause.stack ?? '') : '';
  return {
    code: Code.INTERNAL,
    reason: 'PRODUCER_FAILED',
    message,
    detail: forPeople(stack, mostDetail),
  };
}

/** What the service takes as a text: not too long, and without characters that do not show. */
function forPeople(text: string, most: number): string {
  const shown = text.toWellFormed().replaceAll(/[^\P{C}\n\t]|[\u2028\u2029]/gu, '\u{FFFD}');
  const characters = Array.from(shown);
  return characters.length > most ? `${characters.slice(0, most - 1).join('')}…` : shown;
}

async function cancel(calls: ClientCalls, taskId: string): Promise<void> {
  try {
    await calls.tasks.cancelTask({ taskId, reason: 'its producer was stopped' });
  } catch {
    // It expires then.
  }
}
