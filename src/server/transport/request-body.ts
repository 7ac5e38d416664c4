import type { Readable } from 'node:stream';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { isHttp2, type NodeRequest } from './node-http.ts';
import { PastParser } from './past-parser.ts';
import { bytesCameIn } from '../../runtime/young-garbage.ts';

/** Emitted by a request of HTTP/1.1 when its body is about to be read, and not if that never is. */
export const bodyWanted = Symbol('body wanted');

/** Of a body that is over. One for all. */
const noListeners: (() => void)[] = [];

/** What a body has its source call while it is read. */
interface Listeners {
  readonly event: 'readable' | 'data';
  readonly onBytes: (bytes: Buffer) => void;
  readonly onEnd: () => void;
  readonly onClose: () => void;
}

/** What takes the bytes of a body as they come. */
export interface BodySink {
  /** Takes the next bytes, which are not its own: it copies what it keeps. Answers whether it takes more just now. */
  take(bytes: Uint8Array): boolean;
  /** Nothing more comes. @param failure why, unless the body has ended or its reader has left it. */
  end(failure: DarkroomError | undefined): void;
}

/**
 * The body of a request, to be read once, by `next` or by `flowInto`. Node's own iterators do not fit:
 *
 * - they destroy the connection when the reader stops early, so that the answer which says why never arrives;
 * - that of HTTP/2 ends as if all were well where a stream is ended and reset at once, which is how Node's
 *   clients cancel, so that a cancelled upload would look like one that was left for later;
 * - what else goes wrong comes as errors of Node, where the reader should learn what happened in its own terms.
 */
export class RequestBody implements AsyncIterable<Uint8Array>, AsyncIterator<Uint8Array> {
  readonly #source: Readable;
  readonly #request: NodeRequest;
  #waiting: PromiseWithResolvers<IteratorResult<Uint8Array>> | undefined;
  #sink: BodySink | undefined;
  #pastParser: PastParser | undefined;
  #mayPassParser = false;
  #attached = false;
  #listeners: Listeners | undefined;
  #state: 'open' | 'ended' | 'broken' | 'left' = 'open';
  #failure: DarkroomError | undefined;
  #bytesReceived = 0;
  #onOver: (() => void)[] = [];

  constructor(request: NodeRequest) {
    this.#request = request;
    // Of the stream beneath: the request's own buffer would be one more step for every byte.
    this.#source = isHttp2(request) ? request.stream : request;
  }

  /** Whether all of it has come and was read. */
  get hasEnded(): boolean {
    return this.#state === 'ended';
  }

  /** How many bytes were read so far, as they came over the network. */
  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * The next bytes, as many as there are.
   *
   * @throws DarkroomError CONNECTION_LOST where the client reset the stream or the connection broke; what
   *   `fail` was given.
   */
  next(): Promise<IteratorResult<Uint8Array>> {
    this.#attach();
    this.#waiting = Promise.withResolvers();
    const { promise } = this.#waiting;
    this.#settle();
    return promise;
  }

  /**
   * Gives all bytes to `sink` as the network brings them. Not joined as those of `next` are, which makes one buffer of all
   * that has come and copies it: 0.16 s of CPU a GiB of an upload.
   */
  flowInto(sink: BodySink): void {
    this.#sink = sink;
    this.#mayPassParser = !isHttp2(this.#request);
    this.#attach();
    this.#settle();
  }

  /** Says that the sink takes bytes again. */
  resume(): void {
    if (this.#state === 'open') {
      this.#source.resume();
      this.#pastParser?.resume();
    }
  }

  /** Has `listener` called when nothing more is read: all has come, or will never, or nobody wants it any more. */
  onceOver(listener: () => void): void {
    if (this.#state === 'open') {
      this.#onOver.push(listener);
    } else {
      listener();
    }
  }

  /** Stops reading, and leaves the connection as it is. */
  return(): Promise<IteratorResult<Uint8Array>> {
    if (this.#state === 'open') {
      this.#end('left');
    }
    this.#detach();
    this.#settle();
    return Promise.resolve({ done: true, value: undefined });
  }

  /** Stops reading for good, since the request is answered: a reader that is left gets CONNECTION_LOST. */
  leave(): void {
    this.#onClose();
  }

  /** Ends the reading with an error, unless it has ended. */
  fail(error: DarkroomError): void {
    if (this.#state === 'open') {
      this.#failure = error;
      this.#onClose();
    }
  }

  #attach(): void {
    if (this.#attached || this.#state !== 'open') {
      return;
    }
    this.#attached = true;
    if (!isHttp2(this.#request)) {
      this.#source.emit(bodyWanted);
    }
    if (this.#source.readableEnded) {
      // Node ends a body without any bytes by itself, before anybody reads.
      this.#onEnd();
      return;
    }
    if (this.#source.destroyed) {
      this.#onClose();
      return;
    }
    const listeners = {
      event: this.#sink === undefined ? 'readable' : 'data',
      onBytes:
        this.#sink === undefined ? () => this.#settle() : (bytes: Buffer) => this.#onData(bytes),
      onEnd: () => this.#onEnd(),
      onClose: () => this.#onClose(),
    } as const;
    this.#source.on(listeners.event, listeners.onBytes);
    this.#source.on('end', listeners.onEnd);
    this.#source.on('error', listeners.onClose);
    this.#source.on('close', listeners.onClose);
    this.#listeners = listeners;
  }

  /** Lets go of all that the reading took: of a watcher its request is there for as long as the answer. */
  #detach(): void {
    const listeners = this.#listeners;
    if (listeners === undefined) {
      return;
    }
    this.#listeners = undefined;
    const { event, onBytes, onEnd, onClose } = listeners;
    this.#source.off(event, onBytes);
    if (event === 'data') {
      // It would flow on, into nothing.
      this.#source.pause();
    }
    this.#pastParser?.stop();
    this.#pastParser = undefined;
    this.#source.off('end', onEnd);
    this.#source.off('close', onClose);
    this.#source.off('error', onClose);
    // An error that nobody listens to ends the process.
    this.#source.on('error', ignoreError);
  }

  #onData(bytes: Buffer): void {
    this.#cameIn(bytes);
    if (this.#sink?.take(bytes) === false) {
      this.#source.pause();
      this.#pastParser?.pause();
    } else if (this.#mayPassParser) {
      this.#mayPassParser = false;
      // Not while the parser hands on what it has.
      setImmediate(() => this.#passParser());
    }
  }

  #passParser(): void {
    const request = this.#request;
    if (this.#state === 'open' && !isHttp2(request) && !this.#source.isPaused()) {
      this.#pastParser = PastParser.begin(request, this.#bytesReceived, (bytes) =>
        this.#onData(bytes),
      );
    }
    // Where it could not be had just now, it may be after what comes next.
    this.#mayPassParser = this.#pastParser === undefined;
  }

  #cameIn({ byteLength }: Buffer): void {
    this.#bytesReceived += byteLength;
    bytesCameIn(byteLength);
  }

  #settle(): void {
    if (this.#sink !== undefined && this.#state !== 'open') {
      const sink = this.#sink;
      this.#sink = undefined;
      sink.end(this.#state === 'broken' ? (this.#failure ?? connectionLost()) : undefined);
    }
    const waiting = this.#waiting;
    if (waiting === undefined) {
      return;
    }
    if (this.#state === 'open') {
      const bytes = this.#source.read() as Buffer | null;
      if (bytes !== null) {
        this.#waiting = undefined;
        this.#cameIn(bytes);
        waiting.resolve({ done: false, value: bytes });
      }
      return;
    }
    this.#waiting = undefined;
    if (this.#state === 'broken') {
      waiting.reject(this.#failure ?? connectionLost());
    } else {
      waiting.resolve({ done: true, value: undefined });
    }
  }

  #onEnd(): void {
    if (isHttp2(this.#request)) {
      // Node's clients, grpc-js among them, cancel a stream by its end and then a reset, which may be here too.
      setImmediate(() => this.#afterEnd());
    } else {
      this.#afterEnd();
    }
  }

  #afterEnd(): void {
    if (this.#state === 'open') {
      this.#end(isBroken(this.#request) ? 'broken' : 'ended');
      this.#detach();
    }
    this.#settle();
  }

  #onClose(): void {
    if (this.#state === 'open') {
      this.#end('broken');
      this.#detach();
    }
    this.#settle();
  }

  #end(state: 'ended' | 'broken' | 'left'): void {
    this.#state = state;
    const listeners = this.#onOver;
    this.#onOver = noListeners;
    for (const listener of listeners) {
      listener();
    }
  }
}

/** Whether a request whose body has ended was cut there. */
function isBroken(request: NodeRequest): boolean {
  return isHttp2(request)
    ? request.stream.aborted || request.stream.rstCode !== 0
    : !request.complete;
}

function ignoreError(): void {}

function connectionLost(): DarkroomError {
  return new DarkroomError(
    'CONNECTION_LOST',
    'the connection to the client ended before the request did',
  );
}
