import type { DescMethod, DescService } from '@bufbuild/protobuf';
import { Code, ConnectError, type ContextValues, type HandlerContext } from '@connectrpc/connect';
import { endedBy } from '../errors/error-mapping.ts';
import type { NodeRequest, NodeResponse } from '../transport/node-http.ts';
import { longestTimerMs } from './call-timeout.ts';
import { requestHeaders } from './request-headers.ts';

/** What is known of a call before its message is read. */
export interface BegunDirectCall {
  readonly method: DescMethod;
  readonly protocolName: string;
  readonly request: NodeRequest;
  readonly response: NodeResponse;
  readonly values: ContextValues;
  /** For how long the client waits, in ms; undefined for as long as it takes. */
  readonly timeoutMs: number | undefined;
}

/**
 * What a handler is told of its call. Connect's own makes four sets of headers and three controllers for each call, and
 * aborts them at its end with an error that nobody sees: a tenth of what GetImage took. These are made when they are asked
 * for.
 */
export class DirectCallContext implements HandlerContext {
  readonly method: DescMethod;
  readonly protocolName: string;
  readonly requestMethod = 'POST';
  readonly values: ContextValues;
  readonly #request: NodeRequest;
  readonly #response: NodeResponse;
  readonly #deadline: number | undefined;
  #signal: AbortSignal | undefined;
  #release: (() => void) | undefined;
  #requestHeader: Headers | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;

  constructor({ method, protocolName, request, response, values, timeoutMs }: BegunDirectCall) {
    this.method = method;
    this.protocolName = protocolName;
    this.values = values;
    this.#request = request;
    this.#response = response;
    this.#deadline = timeoutMs === undefined ? undefined : performance.now() + timeoutMs;
  }

  get service(): DescService {
    return this.method.parent;
  }

  get url(): string {
    return `http://darkroom/${this.method.parent.typeName}/${this.method.name}`;
  }

  get signal(): AbortSignal {
    return (this.#signal ??= this.#endSignal());
  }

  get requestHeader(): Headers {
    return (this.#requestHeader ??= requestHeaders(this.#request));
  }

  get responseHeader(): Headers {
    return (this.#responseHeader ??= new Headers());
  }

  get responseTrailer(): Headers {
    return (this.#responseTrailer ??= new Headers());
  }

  /** What the handler has set of the answer's headers. */
  get setHeaders(): Readonly<Record<string, string>> {
    return this.#responseHeader === undefined ? {} : Object.fromEntries(this.#responseHeader);
  }

  /** What the handler has set of the answer's trailers. */
  get setTrailers(): Readonly<Record<string, string>> {
    return this.#responseTrailer === undefined ? {} : Object.fromEntries(this.#responseTrailer);
  }

  /** How the call ended, if `error` came of its signal. */
  endBy(error: unknown): ConnectError | undefined {
    return this.#signal && endedBy(this.#signal, error);
  }

  /** The handler does not look at its signal any more: it need not follow the call to its end, which may be days away. */
  release(): void {
    this.#release?.();
  }

  readonly timeoutMs = (): number | undefined =>
    this.#deadline === undefined ? undefined : this.#deadline - performance.now();

  #endSignal(): AbortSignal {
    const end = new AbortController();
    const left = this.timeoutMs();
    const late = (): void =>
      end.abort(new ConnectError('the operation timed out', Code.DeadlineExceeded));
    const timer =
      left === undefined || left > longestTimerMs ? undefined : setTimeout(late, Math.max(0, left));
    const onClose = (): void => {
      clearTimeout(timer);
      end.abort(new ConnectError('the client ended the call', Code.Canceled));
    };
    this.#response.once('close', onClose);
    this.#release = () => {
      clearTimeout(timer);
      this.#response.off('close', onClose);
    };
    return end.signal;
  }
}
