import { MessageChannel, Worker } from 'node:worker_threads';
import { settledWithin } from '../domain/settled-within.ts';
import { CompressionError } from './compression-error.ts';
import type {
  DecoderAnswer,
  DecoderData,
  DecoderMessage,
  DecoderTask,
} from './decoder-messages.ts';

/** For how long a decoder may say nothing, in ms. */
export interface SilenceLimits {
  /** Of the processor's time, so that a busy machine does not count. */
  readonly maxCpuMs: number;
  readonly checkMs: number;
}

/** The largest step takes a few tenths of a second. */
const usualSilence: SilenceLimits = { maxCpuMs: 20_000, checkMs: 1000 };
/** For how long the end of a thread is waited for, in ms. */
const longestEndMs = 1000;
/** MiB of JavaScript's heap; what decoders keep besides is bounded by their formats. */
const maxHeapMb = 128;

/**
 * Decodes a stream in a thread of its own, which ends with it. A decoder that goes round in circles, as
 * bytes that are made for that may bring it to, is stopped.
 *
 * @throws CompressionError; what `input` throws.
 */
export async function* decodeInThread(
  task: DecoderTask,
  input: AsyncIterable<Uint8Array>,
  silence: SilenceLimits = usualSilence,
): AsyncGenerator<Uint8Array, void, undefined> {
  const thread = new DecoderThread(task, silence);
  const chunks = input[Symbol.asyncIterator]();
  try {
    for (;;) {
      const message = await thread.next();
      switch (message.kind) {
        case 'wants input': {
          const chunk = await chunks.next();
          thread.answer(chunk.done === true ? undefined : chunk.value);
          break;
        }
        case 'output':
          yield message.bytes;
          thread.answer(undefined);
          break;
        case 'problem':
          throw new CompressionError(message.problem, { cause: message.detail });
        case 'end':
          return;
      }
    }
  } finally {
    await thread.terminate();
    await chunks.return?.();
  }
}

/** A thread that speaks, and waits for the answer. */
class DecoderThread {
  readonly #worker: Worker;
  readonly #port;
  readonly #silence: SilenceLimits;
  readonly #answered = new Int32Array(new SharedArrayBuffer(4));
  /** Settles with what the thread says next. */
  #message = Promise.withResolvers<DecoderMessage>();

  constructor(task: DecoderTask, silence: SilenceLimits) {
    this.#silence = silence;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    const workerData: DecoderData = { ...task, port: port2, answered: this.#answered };
    this.#worker = new Worker(new URL('./decoder-worker.ts', import.meta.url), {
      workerData,
      transferList: [port2],
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMb },
    });
    this.#worker.unref();
    this.#message.promise.catch(() => {});
    port1.on('message', (message: DecoderMessage) => this.#message.resolve(message));
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(new Error('the thread of the decoder has ended')));
  }

  /** What the thread says next, which must be answered then. @throws CompressionError if it says nothing. */
  async next(): Promise<DecoderMessage> {
    const silence = this.#stopIfSilent();
    try {
      const message = await this.#message.promise;
      this.#message = Promise.withResolvers();
      this.#message.promise.catch(() => {});
      return message;
    } finally {
      clearInterval(silence);
    }
  }

  answer(input: Uint8Array | undefined): void {
    // A copy: who gave the input may use its memory again.
    this.#port.postMessage({ input } satisfies DecoderAnswer);
    Atomics.store(this.#answered, 0, 1);
    Atomics.notify(this.#answered, 0);
  }

  async terminate(): Promise<void> {
    this.#port.close();
    // One that is terminated while it is asked for its time may never say that it has ended (Node 24.21: of those that were
    // asked each 10 ms 1 in 20), and whoever waits for its stream would wait for ever.
    await settledWithin(this.#worker.terminate(), longestEndMs);
    this.#worker.unref();
  }

  #stopIfSilent(): NodeJS.Timeout {
    const { maxCpuMs, checkMs } = this.#silence;
    let start: number | undefined;
    return setInterval(() => {
      this.#worker.cpuUsage().then(
        ({ user, system }) => {
          const cpuMs = (user + system) / 1000;
          start ??= cpuMs;
          if (cpuMs - start > maxCpuMs) {
            this.#fail(new CompressionError('beyond reason'));
          }
        },
        () => {},
      );
    }, checkMs);
  }

  #fail(error: unknown): void {
    const isOutOfMemory =
      error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
    this.#message.reject(
      isOutOfMemory ? new CompressionError('beyond reason', { cause: error }) : error,
    );
  }
}
