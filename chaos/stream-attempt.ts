import { setTimeout as sleep } from 'node:timers/promises';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  UploadImageRequestSchema,
  UploadImageResponse,
} from '../gen/darkroom/v1/image_service_pb.ts';
import type { Connection } from './connection.ts';
import type { Journal } from './journal.ts';
import type { Mood } from './mood.ts';
import { drawPiece, expectedPieces } from './piece.ts';
import type { Random } from './random.ts';
import type { Upload } from './upload.ts';
import { misdeed, poisonousChunk, type WrongChunk } from './wrong-bytes.ts';

type Frame = MessageInitShape<typeof UploadImageRequestSchema>;

/** One call of UploadImage, and how it behaves. */
export interface StreamAttempt {
  readonly upload: Upload;
  readonly connection: Connection;
  readonly from: number;
  readonly epoch: bigint | undefined;
  readonly mood: Mood;
  readonly random: Random;
  readonly journal: Journal;
  /** Cancels the task over another connection. */
  readonly cancelTask: () => Promise<void>;
  /** After so many ms without an answer the client goes elsewhere and leaves the stream as it is. */
  readonly patienceMs: number;
  /** Told, before it is sent, of what the service must refuse, and with which reason. */
  readonly provoke: (reason: string) => void;
}

/** A stream that was left open. */
export interface HungStream {
  /** Has a silent one send again. Answers whether it sends bytes that must not land. */
  wake(): boolean;
  /** Resolves with the answer; rejects with why it ended. */
  readonly answer: Promise<UploadImageResponse>;
}

/** How an attempt ended, unless it threw. */
export type StreamEnd =
  | { readonly kind: 'answered'; readonly answer: UploadImageResponse; readonly sentUpTo: number }
  | { readonly kind: 'hung'; readonly stream: HungStream };

/** Sends one stream. @throws what the call threw. */
export async function attemptStream(attempt: StreamAttempt): Promise<StreamEnd> {
  const sender = new StreamSender(attempt);
  const answer = attempt.connection.images.uploadImage(
    sender.frames(),
    attempt.connection.bounded(sender.signal),
  );
  answer.catch(() => {});
  const late = new AbortController();
  const first = await Promise.race([
    answer.then(
      (value) => ({ kind: 'answered', answer: value, sentUpTo: sender.position }) as const,
    ),
    sender.hung.then(() => ({ kind: 'hung' }) as const),
    sleep(attempt.patienceMs, { kind: 'hung' } as const, { signal: late.signal }),
  ]).finally(() => late.abort());
  if (first.kind === 'answered') {
    sender.stop();
    return first;
  }
  answer.finally(() => sender.stop()).catch(() => {});
  return { kind: 'hung', stream: { wake: () => sender.wake(), answer } };
}

class StreamSender {
  readonly #attempt: StreamAttempt;
  readonly #reset = new AbortController();
  /** Ends the waits of frames that nobody will ask for any more. */
  readonly #over = new AbortController();
  readonly #hung = Promise.withResolvers<void>();
  readonly #woken = Promise.withResolvers<void>();
  #isPoisonous = false;
  /** Bytes from the image's start that were sent. */
  position: number;

  constructor(attempt: StreamAttempt) {
    this.#attempt = attempt;
    this.position = attempt.from;
  }

  /** Resets the stream. */
  get signal(): AbortSignal {
    return this.#reset.signal;
  }

  /** Resolves when the stream was left open without sending. */
  get hung(): Promise<void> {
    return this.#hung.promise;
  }

  wake(): boolean {
    this.#woken.resolve();
    return this.#isPoisonous;
  }

  stop(): void {
    this.#over.abort();
    this.#woken.resolve();
  }

  async *frames(): AsyncGenerator<Frame, void> {
    const { upload, epoch, mood } = this.#attempt;
    const { size } = upload;
    const header = {
      taskId: upload.taskId,
      ...(epoch === undefined ? {} : { writerEpoch: epoch }),
    };
    yield { frame: { case: 'header', value: header } };
    if (mood.kind === 'whole') {
      yield* this.#pieces(size);
      yield* this.#finish();
    } else {
      yield* this.#pieces(mood.at);
      yield* this.#misbehave(mood.kind);
    }
  }

  /** Sends the bytes up to `limit`. */
  async *#pieces(limit: number): AsyncGenerator<Frame, void> {
    const { upload, random } = this.#attempt;
    const { content, paceMs } = upload.plan;
    const pauseMs = (2 * paceMs) / expectedPieces(upload.size);
    while (this.position < limit) {
      const { offset, end, isHole, crc32c } = drawPiece(content, this.position, limit, random);
      yield isHole
        ? hole(offset, end)
        : chunk({
            offset: BigInt(offset),
            data: content.bytes.subarray(offset, end),
            ...(crc32c === undefined ? {} : { crc32c }),
          });
      this.position = Math.max(this.position, end);
      await this.#pause(random.next() * pauseMs);
    }
  }

  *#finish(): Generator<Frame, void> {
    const { upload, journal } = this.#attempt;
    const sha256 = upload.plan.finishDigest;
    const totalSize = BigInt(upload.size);
    upload.finishSent = true;
    journal.finishSent();
    yield {
      frame: { case: 'finish', value: { totalSize, ...(sha256 === undefined ? {} : { sha256 }) } },
    };
  }

  async *#misbehave(kind: Exclude<Mood['kind'], 'whole'>): AsyncGenerator<Frame, void> {
    const { upload, connection, cancelTask, provoke, epoch, mood } = this.#attempt;
    const { position } = this;
    switch (kind) {
      case 'jump':
        this.position = Math.max(position, mood.to ?? position);
        yield* this.#pieces(upload.size);
        return yield* this.#finish();
      case 'half-close':
        return;
      case 'cut':
        connection.cut();
        return await this.#never();
      case 'reset':
        this.#reset.abort(new Error('the client resets its stream'));
        return await this.#never();
      case 'hang':
        // Without an epoch of its own it could still be the next lawful writer.
        this.#isPoisonous = epoch !== undefined;
        this.#hung.resolve();
        await this.#woken.promise;
        if (this.#isPoisonous && !this.#over.signal.aborted) {
          yield chunk(poisonousChunk(upload, position));
          await sleep(20);
          yield* this.#finish();
        }
        return;
      case 'garble':
      case 'skip':
      case 'lie': {
        const wrong = misdeed(kind, upload, position);
        if (wrong) {
          provoke(wrong.reason);
          upload.hasLied ||= kind === 'lie';
          yield chunk(wrong.chunk);
        }
        return;
      }
      case 'finish early':
        provoke('SIZE_SHORT');
        upload.endedOnPurpose = true;
        return yield* this.#finish();
      case 'cancel':
        provoke('TASK_TERMINAL');
        upload.endedOnPurpose = true;
        await cancelTask();
        return await this.#never();
    }
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#over.signal }).catch(() => {});
  }

  async #never(): Promise<void> {
    await this.#pause(24 * 3600 * 1000);
  }
}

function chunk(value: WrongChunk): Frame {
  return { frame: { case: 'chunk', value } };
}

function hole(offset: number, end: number): Frame {
  const value = { offset: BigInt(offset), length: BigInt(end - offset) };
  return { frame: { case: 'hole', value } };
}
