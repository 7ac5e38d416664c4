import { abortable, within } from '../calls/abortable.ts';
import type { ClientCalls } from '../calls/client-calls.ts';
import type { Arithmetic } from '../calls/platform.ts';
import type { SilenceGuard } from '../calls/silence-guard.ts';
import type { Image } from '../../../gen/darkroom/v1/image_pb.ts';
import type { Task } from '../../../gen/darkroom/v1/task_pb.ts';
import type { ImagePiece } from './image-pieces.ts';
import type { PieceReader } from './piece-reader.ts';
import { readAhead } from './read-ahead.ts';
import type { UploadMeter } from './upload-meter.ts';

/** A piece with the crc32c of its bytes. */
export type CheckedPiece = ImagePiece & { readonly crc32c?: number };

/** One attempt to send what the service does not have. */
export interface Sending {
  readonly calls: ClientCalls;
  readonly taskId: string;
  /** Of ResumeUpload; `undefined` for a first writer. */
  readonly writerEpoch: bigint | undefined;
  /** What the service has already, for it to compare. */
  readonly samples: readonly ImagePiece[];
  readonly pieces: PieceQueue;
  readonly arithmetic: Arithmetic;
  readonly guard: SilenceGuard;
  /** How long something sent may be on its way without being taken, in ms. */
  readonly deadAfterMs: number;
  readonly meter: UploadMeter;
  /** All pieces were sent: what the last message says. */
  finish(): { readonly totalSize: bigint; readonly sha256?: string };
  /** The service has so much for good. */
  committed(bytes: number): void;
}

/** How an attempt ended that did not fail. */
export interface SendingEnd {
  readonly isComplete: boolean;
  readonly committedBytes: number;
  readonly writerEpoch: bigint | undefined;
  readonly image: Image | undefined;
  readonly task: Task | undefined;
}

/** So many pieces are read before they are wanted. */
const aheadCount = 3;
/** How often it is looked whether a source is silent, in ms. */
const lookMs = 500;
/** A stream whose memory is used up for so long is made durable by ending it, in ms. */
const longBlockedMs = 2_000;

/** The source itself failed, and not what sends. */
export class SourceFailure extends Error {
  constructor(cause: unknown) {
    super('the source failed', { cause });
  }
}

/** The pieces that one attempt sends, in order. */
export class PieceQueue {
  readonly #reader: PieceReader;
  readonly #signal: AbortSignal;
  readonly #idleMs: number;
  readonly #pieces: AsyncGenerator<CheckedPiece, void, undefined>;

  /** @param idleMs a source that is silent for so long is told by `pause` */
  constructor(
    reader: PieceReader,
    offset: number,
    arithmetic: Arithmetic,
    idleMs: number,
    signal: AbortSignal,
  ) {
    this.#reader = reader;
    this.#signal = signal;
    this.#idleMs = idleMs;
    this.#pieces = readAhead(checked(reader.from(offset, signal), arithmetic), aheadCount);
  }

  /**
   * The next piece; `end` after the last one; `pause` when the source is silent, or can only go on when more is durable:
   * nothing can be asked for after that.
   *
   * @throws SourceFailure; the signal's reason
   */
  async next(): Promise<CheckedPiece | 'end' | 'pause'> {
    const wanted = this.#pieces.next();
    const sinceMs = performance.now();
    try {
      for (;;) {
        const next = await abortable(within(wanted, lookMs), this.#signal);
        if (next !== undefined) {
          return next.done === true ? 'end' : next.value;
        }
        const nowMs = performance.now();
        const blockedMs = nowMs - (this.#reader.blockedSinceMs ?? nowMs);
        if (nowMs - sinceMs > this.#idleMs || blockedMs > longBlockedMs) {
          wanted.catch(() => undefined);
          return 'pause';
        }
      }
    } catch (error) {
      wanted.catch(() => undefined);
      this.#signal.throwIfAborted();
      throw new SourceFailure(error);
    }
  }

  /** Nothing more is wanted. */
  stop(): void {
    void this.#pieces.return().catch(() => undefined);
  }
}

async function* checked(
  pieces: AsyncIterable<ImagePiece>,
  arithmetic: Arithmetic,
): AsyncGenerator<CheckedPiece, void, undefined> {
  for await (const piece of pieces) {
    yield piece.data === undefined ? piece : { ...piece, crc32c: arithmetic.crc32c(piece.data) };
  }
}
