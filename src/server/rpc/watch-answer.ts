import type { ServerResponse } from 'node:http';
import { Code, ConnectError, type HandlerContext } from '@connectrpc/connect';
import type { Compression, UniversalServerResponse } from '@connectrpc/connect/protocol';
import type { DarkroomError } from '../../domain/darkroom-error.ts';
import type { Wakeable } from '../../tasks/watching/wakes.ts';
import type { Watch } from '../../tasks/watching/watch.ts';
import { notedAnswer } from '../errors/error-mapping.ts';
import type { NodeResponse } from '../transport/node-http.ts';
import {
  requestContextOf,
  type AnswerRest,
  type RequestContext,
} from '../transport/request-context.ts';
import { headersOf } from '../transport/response-writer.ts';
import { longestTimerMs } from './call-timeout.ts';
import { acceptedCompression } from './compression.ts';
import { endConnectStream, endGrpcStream, type EndStream } from './stream-end.ts';
import type { Enclose } from './watch-envelopes.ts';

/** A protocol whose streams are written here. */
interface StreamProtocol {
  readonly encodingHeader: string;
  readonly end: EndStream;
}

/** By the type of an answer's content. All others stay connect's. */
const protocols = new Map<string, StreamProtocol>([
  ['application/grpc+proto', { encodingHeader: 'grpc-encoding', end: endGrpcStream }],
  [
    'application/connect+proto',
    { encodingHeader: 'connect-content-encoding', end: endConnectStream },
  ],
]);

/**
 * Has a watch answered past connect, if the call is of a protocol that is spoken here: what connect has read and checked
 * stays, and all that it would keep for the rest of the stream goes. A watcher took 42 KiB of the heap with connect's chain of
 * generators, promises and signals, which every full collection had to mark.
 *
 * @param begin begins the watch, for the reader that it is given; what it throws is the call's answer.
 * @returns whether it is; the handler then has nothing more to say.
 */
export async function answersItself<Message>(
  context: HandlerContext,
  enclose: Enclose<Message>,
  begin: (reader: Wakeable) => Promise<Watch<Message>>,
): Promise<boolean> {
  const protocol = protocols.get(context.responseHeader.get('content-type') ?? '');
  if (protocol === undefined) {
    return false;
  }
  const encoding = context.responseHeader.get(protocol.encodingHeader);
  const compression = acceptedCompression.find(({ name }) => name === encoding) ?? null;
  const call = requestContextOf(context);
  const answer = new WatchAnswer(call, protocol.end, compression, enclose);
  answer.follow(await begin(answer), context.timeoutMs());
  call.rest = answer;
  return true;
}

const neverAborted = new AbortController().signal;

/**
 * Writes a watch to its client: takes a message when it is woken and the client has room for it. So of a client who reads
 * slowly nothing is kept but how far he is, and what Node holds for him, 16 KiB.
 */
class WatchAnswer<Message> implements AnswerRest, Wakeable {
  readonly #call: RequestContext;
  readonly #endStream: EndStream;
  readonly #compression: Compression | null;
  readonly #enclose: Enclose<Message>;
  #watch: Watch<Message> | undefined;
  #response: NodeResponse | undefined;
  /** Whether the client, or a message that is being compressed, is waited for. */
  #isBusy = false;
  #timeoutMs: number | undefined;
  #deadline: NodeJS.Timeout | undefined;

  constructor(
    call: RequestContext,
    endStream: EndStream,
    compression: Compression | null,
    enclose: Enclose<Message>,
  ) {
    this.#call = call;
    this.#endStream = endStream;
    this.#compression = compression;
    this.#enclose = enclose;
  }

  /** @param timeoutMs how long the call may take from now on; undefined for as long as it likes. */
  follow(watch: Watch<Message>, timeoutMs: number | undefined): void {
    this.#watch = watch;
    this.#timeoutMs = timeoutMs;
  }

  writeTo(nodeResponse: NodeResponse, { status, header }: UniversalServerResponse): void {
    const response = nodeResponse as ServerResponse;
    response.writeHead(status, headersOf(header));
    response.on('drain', () => {
      this.#isBusy = false;
      this.wake();
    });
    response.on('close', () => this.abandon());
    this.#response = nodeResponse;
    if (this.#timeoutMs !== undefined && this.#timeoutMs <= longestTimerMs) {
      this.#deadline = setTimeout(() => {
        this.#end(new ConnectError('the operation timed out', Code.DeadlineExceeded));
      }, this.#timeoutMs);
    }
    this.wake();
  }

  abandon(): void {
    clearTimeout(this.#deadline);
    this.#watch?.close();
    this.#watch = undefined;
  }

  endWith(error: DarkroomError): boolean {
    if (this.#response === undefined) {
      return false;
    }
    this.#end(error);
    return true;
  }

  wake(): void {
    try {
      this.#write();
    } catch (error) {
      this.#end(error);
    }
  }

  #write(): void {
    const watch = this.#watch;
    if (watch === undefined || this.#response === undefined) {
      return;
    }
    while (!this.#isBusy && !watch.hasEnded) {
      const message = watch.take();
      if (message === undefined) {
        break;
      }
      const envelope = this.#enclose(message, this.#call.caller, this.#compression);
      if (envelope instanceof Promise) {
        this.#isBusy = true;
        void this.#writeLater(envelope);
      } else {
        this.#isBusy = !this.#send(envelope);
      }
    }
    if (watch.hasEnded && !this.#isBusy) {
      this.#end();
    }
  }

  async #writeLater(later: Promise<Uint8Array>): Promise<void> {
    try {
      this.#isBusy = !this.#send(await later);
      this.wake();
    } catch (error) {
      this.#end(error);
    }
  }

  /** Answers whether the client has room for more. */
  #send(envelope: Uint8Array): boolean {
    const response = this.#response as ServerResponse | undefined;
    return this.#watch === undefined || response === undefined || response.write(envelope);
  }

  #end(error?: unknown): void {
    const response = this.#response;
    if (this.#watch === undefined || response === undefined) {
      return;
    }
    this.abandon();
    const failure =
      error === undefined ? undefined : notedAnswer(error, this.#call, { signal: neverAborted });
    this.#endStream(response, failure, this.#compression);
  }
}
