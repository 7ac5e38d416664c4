import { Code, ConnectError } from '@connectrpc/connect';
import type { DarkroomError } from '../../domain/darkroom-error.ts';
import { copyBytes, takeBuffer } from '../../runtime/shared-buffers.ts';
import type { BodySink, RequestBody } from '../transport/request-body.ts';

/** A message as gRPC and Connect frame it. */
export interface ReceivedEnvelope {
  readonly flags: number;
  /** In a buffer of its own, of `takeBuffer`. */
  readonly data: Uint8Array;
}

/** What envelopes are read from. */
export type FlowingBody = Pick<RequestBody, 'flowInto' | 'resume'>;

/**
 * How many bytes of a message stand before the payload for which its memory is laid out; undefined where `begin`, its first
 * bytes that have come, do not tell.
 *
 * @param length bytes of the whole message.
 */
export type LeadOf = (begin: Uint8Array, length: number) => number | undefined;

/** A byte of flags, and four with the length. */
const headBytes = 5;
/** Whole messages that wait to be asked for: one of 1 MiB while the one before is written, or many small ones. */
const waitingBytes = 1024 * 1024;
const waitingEnvelopes = 64;

/**
 * Cuts a body into envelopes. Each byte is copied once, from where the network put it to where it stays until it is
 * stored and digested: what the network brought is garbage at once, and its memory is used for what comes next.
 */
export class EnvelopeReader implements BodySink {
  readonly #body: FlowingBody;
  readonly #maxBytes: number;
  readonly #leadOf: LeadOf;
  /** That of the last message: the next is mostly like it. */
  #lead = 0;
  readonly #head = Buffer.alloc(headBytes);
  #headFilled = 0;
  /** The message that is coming; undefined between two. */
  #data: Uint8Array | undefined;
  #dataFilled = 0;
  readonly #ready: ReceivedEnvelope[] = [];
  #readyBytes = 0;
  #isPaused = false;
  #waiting: PromiseWithResolvers<ReceivedEnvelope | undefined> | undefined;
  #isOver = false;
  #failure: Error | undefined;

  /**
   * @param maxBytes the largest message that is taken.
   * @param leadOf where the payload of a message begins, which is to lie at the beginning of a page.
   */
  constructor(body: FlowingBody, maxBytes: number, leadOf: LeadOf = () => 0) {
    this.#body = body;
    this.#maxBytes = maxBytes;
    this.#leadOf = leadOf;
    body.flowInto(this);
  }

  /**
   * The next envelope; undefined after the last one. One call at a time.
   *
   * @throws ConnectError with the code and the words of connect's own reader, where one is larger than allowed or the
   *   body ends within one; DarkroomError as the body.
   */
  next(): Promise<ReceivedEnvelope | undefined> {
    const envelope = this.#ready.shift();
    if (envelope !== undefined) {
      this.#readyBytes -= envelope.data.byteLength;
      if (this.#isPaused && this.#hasRoom()) {
        this.#isPaused = false;
        this.#body.resume();
      }
      return Promise.resolve(envelope);
    }
    if (this.#failure !== undefined) {
      return Promise.reject(this.#failure);
    }
    if (this.#isOver) {
      return Promise.resolve(undefined);
    }
    this.#waiting = Promise.withResolvers();
    return this.#waiting.promise;
  }

  take(bytes: Uint8Array): boolean {
    for (let used = 0; used < bytes.byteLength && !this.#isOver;) {
      used +=
        this.#data === undefined
          ? this.#takeHead(bytes, used)
          : this.#takeData(this.#data, bytes, used);
    }
    this.#isPaused = !this.#hasRoom();
    return !this.#isPaused;
  }

  end(failure: DarkroomError | undefined): void {
    if (failure === undefined && (this.#headFilled > 0 || this.#data !== undefined)) {
      this.#fail(new ConnectError('protocol error: incomplete envelope', Code.InvalidArgument));
    } else {
      this.#fail(failure);
    }
  }

  #hasRoom(): boolean {
    return (
      !this.#isOver && this.#readyBytes < waitingBytes && this.#ready.length < waitingEnvelopes
    );
  }

  #takeHead(bytes: Uint8Array, start: number): number {
    const end = Math.min(bytes.byteLength, start + headBytes - this.#headFilled);
    this.#head.set(bytes.subarray(start, end), this.#headFilled);
    this.#headFilled += end - start;
    if (this.#headFilled === headBytes) {
      const length = this.#head.readUInt32BE(1);
      if (length > this.#maxBytes) {
        this.#fail(
          new ConnectError(
            `message size ${length} is larger than configured readMaxBytes ${this.#maxBytes}`,
            Code.ResourceExhausted,
          ),
        );
      } else {
        this.#lead = this.#leadOf(bytes.subarray(end), length) ?? this.#lead;
        this.#data = takeBuffer(length, this.#lead);
        this.#dataFilled = 0;
        this.#completeIfFull(this.#data);
      }
    }
    return end - start;
  }

  #takeData(data: Uint8Array, bytes: Uint8Array, start: number): number {
    const end = Math.min(bytes.byteLength, start + data.byteLength - this.#dataFilled);
    copyBytes(bytes, start, end, data, this.#dataFilled);
    this.#dataFilled += end - start;
    this.#completeIfFull(data);
    return end - start;
  }

  #completeIfFull(data: Uint8Array): void {
    if (this.#dataFilled < data.byteLength) {
      return;
    }
    this.#data = undefined;
    this.#headFilled = 0;
    const envelope = { flags: this.#head.readUInt8(0), data };
    if (this.#waiting === undefined) {
      this.#ready.push(envelope);
      this.#readyBytes += data.byteLength;
    } else {
      this.#waiting.resolve(envelope);
      this.#waiting = undefined;
    }
  }

  /** Ends the reading, after what is whole was asked for. */
  #fail(failure: Error | undefined): void {
    if (this.#isOver) {
      return;
    }
    this.#isOver = true;
    this.#failure = failure;
    if (this.#waiting === undefined) {
      return;
    }
    if (failure === undefined) {
      this.#waiting.resolve(undefined);
    } else {
      this.#waiting.reject(failure);
    }
    this.#waiting = undefined;
  }
}
