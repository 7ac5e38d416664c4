import { randomUUID } from 'node:crypto';
import { createContextKey, createContextValues, type ContextValues } from '@connectrpc/connect';
import type { UniversalServerResponse } from '@connectrpc/connect/protocol';
import type { Logger } from 'pino';
import type { Caller, KnownCaller } from '../../access/caller.ts';
import type { DarkroomError } from '../../domain/darkroom-error.ts';
import type { CallOutcome } from './call-outcome.ts';
import { peerAddress, type NodeRequest, type NodeResponse } from './node-http.ts';
import type { RequestBody } from './request-body.ts';

/** The rest of an answer, where it is written by who has it and not by connect. */
export interface AnswerRest {
  /** Writes all of it, beginning with the head that connect has made. */
  writeTo(response: NodeResponse, head: UniversalServerResponse): void;
  /** The client is gone before. */
  abandon(): void;
  /** Ends it with an error; false if it has not begun yet. */
  endWith(error: DarkroomError): boolean;
}

/** What is known of a request besides its message. */
export interface RequestContext {
  /** The client's `x-request-id`, or else a new UUID. Goes back in the answer's header of that name. */
  readonly requestId: string;
  /** Who makes the call, as the gate has admitted it. @throws Error where it has not, or needs to know nobody. */
  readonly caller: Caller;
  /** Has a caller who may act in any project go on in another one. */
  actIn(projectId: string): void;
  /** The same as far as it is known, of who was refused, too; undefined where nobody is. */
  readonly knownCaller: KnownCaller | undefined;
  /** The client's address and port. */
  readonly peer: string;
  /** Puts the request's id on every line. */
  readonly logger: Logger;
  /** Fires when the service begins to stop: what waits for something to happen ends now. */
  readonly drainSignal: AbortSignal;
  /** Fires when the time that running calls were given is over: what is still running ends now. */
  readonly endSignal: AbortSignal;
  /** How many bytes of the request's body have come in from the network so far. */
  bytesReceived(): number;
  /** How the call ends, for the log; filled in on the way. */
  readonly outcome: CallOutcome;
  /**
   * Fires, with the error to end with, when a stream of answers may go on no longer; undefined where that cannot be. For who does
   * not set `rest`.
   */
  readonly earlyEnd?: AbortSignal | undefined;
  /** Set by a handler that says nothing to connect, and the rest by itself. */
  rest?: AnswerRest;
}

/** What handlers and interceptors hold: connect's context of a call, or of an interceptor's request. */
type Holder = { readonly values: ContextValues } | { readonly contextValues: ContextValues };

const requestContextKey = createContextKey<RequestContext | undefined>(undefined, {
  description: 'request context',
});

/** Context values that carry `context` to a call's interceptors and its handler. */
export function contextValuesWith(context: RequestContext): ContextValues {
  return createContextValues().set(requestContextKey, context);
}

/**
 * The request's context.
 *
 * @throws Error where the call did not come through the server, as in a test that forgot `contextValuesWith`.
 */
export function requestContextOf(holder: Holder): RequestContext {
  const values = 'values' in holder ? holder.values : holder.contextValues;
  const context = values.get(requestContextKey);
  if (context === undefined) {
    throw new Error('the call has no request context');
  }
  return context;
}

/** Who makes the call. */
export function callerOf(holder: Holder): Caller {
  return requestContextOf(holder).caller;
}

/** The client's address and port, such as `192.0.2.7:49152`. */
export function peerOf(holder: Holder): string {
  return requestContextOf(holder).peer;
}

/** The call's logger. */
export function loggerOf(holder: Holder): Logger {
  return requestContextOf(holder).logger;
}

/** Fires when the service begins to stop: streams that wait for something to happen end now. */
export function drainSignalOf(holder: Holder): AbortSignal {
  return requestContextOf(holder).drainSignal;
}

/** Fires when the time that running calls were given to end is over. */
export function endSignalOf(holder: Holder): AbortSignal {
  return requestContextOf(holder).endSignal;
}

/** How many bytes of the request's body have come in from the network so far. */
export function bytesReceivedOf(holder: Holder): number {
  return requestContextOf(holder).bytesReceived();
}

/** The context of a request that has just come. A class, for an object with a getter and a function of its own takes 0.6 KiB more for each watcher. */
export class CallContext implements RequestContext {
  readonly requestId: string;
  readonly peer: string;
  readonly drainSignal: AbortSignal;
  readonly endSignal: AbortSignal;
  readonly outcome: CallOutcome = {};
  rest?: AnswerRest;
  readonly #body: RequestBody;
  readonly #serverLogger: Logger;
  #logger: Logger | undefined;
  #caller: Caller | undefined;
  #refusedCaller: KnownCaller | undefined;
  #mayEndEarly = false;
  #earlyEnd: AbortController | undefined;

  constructor(
    request: NodeRequest,
    logger: Logger,
    body: RequestBody,
    { drainSignal, endSignal }: Pick<RequestContext, 'drainSignal' | 'endSignal'>,
  ) {
    this.requestId = givenRequestId(request) ?? newRequestId();
    this.peer = peerAddress(request);
    this.drainSignal = drainSignal;
    this.endSignal = endSignal;
    this.#body = body;
    this.#serverLogger = logger;
  }

  get knownCaller(): KnownCaller | undefined {
    return this.#caller ?? this.#refusedCaller;
  }

  get caller(): Caller {
    if (this.#caller === undefined) {
      throw new Error('nobody was admitted to the call');
    }
    return this.#caller;
  }

  /** Says who makes the call. @param mayEndEarly whether `endWith` may be called one day. */
  admit(caller: Caller | undefined, mayEndEarly: boolean): void {
    this.#caller = caller;
    this.#mayEndEarly = mayEndEarly;
  }

  actIn(projectId: string): void {
    this.#caller = { ...this.caller, projectId };
  }

  /** Says whom the gate knows, and does not admit. */
  refuse(caller: KnownCaller | undefined): void {
    this.#refusedCaller = caller;
  }

  // Made when it is used, for most calls are not streams, and most streams are written past connect.
  get earlyEnd(): AbortSignal | undefined {
    return this.#mayEndEarly ? (this.#earlyEnd ??= new AbortController()).signal : undefined;
  }

  /** Ends the call with an error, in the middle of what it sends or is sent; false if that has not begun yet. */
  endWith(error: DarkroomError): boolean {
    this.#body.fail(error);
    this.#earlyEnd?.abort(error);
    return this.rest?.endWith(error) ?? true;
  }

  // Made when it is used: most calls only read, and are not logged. It would take 350 bytes for each watcher.
  get logger(): Logger {
    return (this.#logger ??= this.#serverLogger.child({ requestId: this.requestId }));
  }

  bytesReceived(): number {
    return this.#body.bytesReceived;
  }
}

/** Written anew: V8 keeps what Node makes as the 15 pieces that it was put together of, 0.5 KiB of a watcher. */
function newRequestId(): string {
  return Buffer.from(randomUUID(), 'latin1').toString('latin1');
}

/** What a client may choose as the id: 1 to 128 printable ASCII characters. Anything else is not taken. */
function givenRequestId(request: NodeRequest): string | undefined {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && /^[\x20-\x7e]{1,128}$/.test(given) ? given : undefined;
}
