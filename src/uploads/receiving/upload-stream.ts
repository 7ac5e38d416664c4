import { DarkroomError } from '../../domain/darkroom-error.ts';
import { soundClaim, type FinishClaim } from '../publishing/finish-claim.ts';
import { Interruption } from '../../domain/interruption.ts';
import { StreamWatchdog, type PaceBreach, type StreamPace } from './stream-watchdog.ts';
import {
  assertSound,
  frameOrder,
  type ChunkFrame,
  type HoleFrame,
  type UploadFrame,
  type UploadHeader,
} from './upload-frame.ts';

/** The connection on which an upload comes. */
export interface UploadConnection {
  /** For people: who sends. */
  readonly peer: string;
  /** Fires when the client is gone or its deadline has passed, with DarkroomError CONNECTION_LOST as its reason. */
  readonly signal: AbortSignal;
  /** Counts the bytes as they come in from the network. */
  bytesReceived(): number;
}

/** What takes the data of a stream. */
export type DataTaker = (frame: ChunkFrame | HoleFrame) => Promise<void>;

const framePaths = {
  chunk: { offset: 'chunk.offset', data: 'chunk.data', length: '' },
  hole: { offset: 'hole.offset', data: '', length: 'hole.length' },
};

/** What may happen to a connection after the finish was received: it takes nothing back. */
const goneReasons: ReadonlySet<string> = new Set([
  'CONNECTION_LOST',
  'STREAM_IDLE',
  'STREAM_TOO_SLOW',
]);

/** The frames of one stream, in the order that the protocol allows, from a client that keeps sending. */
export class UploadStream {
  readonly #frames: AsyncIterator<UploadFrame>;
  readonly #maxChunkBytes: number;
  readonly #watchdog: StreamWatchdog;
  /** Ends the waiting for the client. */
  readonly #gone = new Interruption();
  readonly #stopListening: () => void;

  constructor(
    frames: AsyncIterator<UploadFrame>,
    connection: UploadConnection,
    pace: StreamPace,
    maxChunkBytes: number,
  ) {
    this.#frames = frames;
    this.#maxChunkBytes = maxChunkBytes;
    this.#watchdog = new StreamWatchdog(
      pace,
      () => connection.bytesReceived(),
      (breach) => this.#gone.interrupt(paceBroken(breach)),
    );
    const { signal } = connection;
    const onAbort = (): void => this.#gone.interrupt(connectionLost(signal.reason));
    if (signal.aborted) {
      onAbort();
    }
    signal.addEventListener('abort', onAbort, { once: true });
    this.#stopListening = () => signal.removeEventListener('abort', onAbort);
  }

  /** The first frame. @throws DarkroomError FRAME_ORDER; why the client sends nothing. */
  async header(): Promise<UploadHeader> {
    const first = await this.#next(new Interruption());
    if (first?.kind !== 'header') {
      throw frameOrder(
        first ? `The stream began with ${named(first)}` : 'Nothing came',
        'a header',
      );
    }
    return first;
  }

  /**
   * Gives all data to `take`, one frame after the other. Answers what the finish claims; undefined if
   * the stream ends without one.
   *
   * @param interruption ends the waiting for the client.
   * @throws DarkroomError FRAME_ORDER, FIELD_INVALID, CHUNK_TOO_LARGE, CHUNK_CHECKSUM_MISMATCH; why the
   *   client sends nothing more; the interruption's; what `take` throws.
   */
  async receive(interruption: Interruption, take: DataTaker): Promise<FinishClaim | undefined> {
    for (let coming = this.#next(interruption); ;) {
      const frame = await coming;
      if (!frame) {
        return undefined;
      }
      if (frame.kind === 'finish') {
        await this.#expectEnd(interruption);
        return soundClaim(frame, 'finish');
      }
      if (frame.kind === 'header' || frame.kind === 'empty') {
        throw frameOrder(`After the header came ${named(frame)}`, 'a chunk, a hole or the finish');
      }
      // The next frame is read from the network while this one is written.
      coming = this.#next(interruption);
      coming.catch(() => {});
      assertSound(frame, this.#maxChunkBytes, framePaths[frame.kind]);
      await take(frame);
    }
  }

  /** Lets go of the connection. */
  end(): void {
    this.#watchdog.stop();
    this.#stopListening();
  }

  /** "Nothing may follow a finish." A connection that breaks after it takes nothing back. */
  async #expectEnd(interruption: Interruption): Promise<void> {
    let after: UploadFrame | undefined;
    try {
      after = await this.#next(interruption);
    } catch (error) {
      if (error instanceof DarkroomError && goneReasons.has(error.reason)) {
        return;
      }
      throw error;
    }
    if (after) {
      throw frameOrder(`After the finish came ${named(after)}`, 'the end of the stream');
    }
  }

  async #next(interruption: Interruption): Promise<UploadFrame | undefined> {
    this.#watchdog.beginWait();
    try {
      const coming = this.#gone.race(this.#frames.next());
      const frame = await interruption.race(coming);
      return frame.done ? undefined : frame.value;
    } finally {
      this.#watchdog.endWait();
    }
  }
}

function named({ kind }: UploadFrame): string {
  return kind === 'empty' ? 'an empty frame' : `a ${kind}`;
}

function paceBroken(breach: PaceBreach): DarkroomError {
  return breach.kind === 'idle'
    ? new DarkroomError(
        'STREAM_IDLE',
        `No byte came for ${breach.idleMs / 1000} s, so the stream was ended. The upload can be resumed.`,
      )
    : new DarkroomError(
        'STREAM_TOO_SLOW',
        `The stream brought ${breach.rate} bytes/s for ${Math.round(breach.waitedMs / 1000)} s, and ` +
          `${breach.minRate} are the least that is taken, so it was ended. The upload can be resumed.`,
      );
}

function connectionLost(cause: unknown): Error {
  return cause instanceof DarkroomError
    ? cause
    : new DarkroomError(
        'CONNECTION_LOST',
        'The connection of the upload broke before its end. The upload can be resumed.',
        { cause },
      );
}
