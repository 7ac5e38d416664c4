import type {
  DescMessage,
  DescMethodStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import {
  createContextKey,
  type ContextValues,
  type StreamResponse,
  type Transport,
  type UnaryResponse,
} from '@connectrpc/connect';
import { DarkroomError } from './client-error.ts';
import { refusesToken, type CallHeaders, type HeaderFields } from './credentials.ts';
import { identified, isRepeatable, saysUndone } from './repeatable-calls.ts';
import { abortReason, Tries, type Pauses, type RetryPolicy } from './retry-policy.ts';

/** Of one call: whether it is tried once only, as by those who try again themselves. */
export const onlyOnce = createContextKey(false, { description: 'only once' });

/**
 * Makes the calls of a transport with the caller's headers. Unary calls are tried again where that is safe; streams are
 * not. All errors are DarkroomErrors, but for the reason of an aborted signal.
 */
export class SurvivingTransport implements Transport {
  readonly #transport: Transport;
  readonly #headers: CallHeaders;
  readonly #policy: RetryPolicy;
  readonly #pauses: Pauses;
  readonly #timeoutMs: number;

  constructor(
    transport: Transport,
    headers: CallHeaders,
    policy: RetryPolicy,
    pauses: Pauses,
    timeoutMs: number,
  ) {
    this.#transport = transport;
    this.#headers = headers;
    this.#policy = policy;
    this.#pauses = pauses;
    this.#timeoutMs = timeoutMs;
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeaderFields,
    request: MessageInitShape<I>,
    contextValues?: ContextValues,
  ): Promise<UnaryResponse<I, O>> {
    const input = identified(method, request);
    const tries = new Tries(this.#policy, this.#policy.giveUpAfterMs);
    const isOnce = contextValues?.get(onlyOnce) === true;
    let isRenewed = false;
    for (;;) {
      const { headers, token } = await this.#headers.of(header);
      try {
        return await this.#transport.unary(
          method,
          signal,
          timeoutMs ?? this.#timeoutMs,
          headers,
          input,
          contextValues,
        );
      } catch (thrown) {
        const error = this.#seen(thrown, signal, token);
        if (refusesToken(error) && this.#headers.canRenew && !isRenewed) {
          isRenewed = true;
          continue;
        }
        const mayRepeat = isRepeatable(method, input) || saysUndone(error);
        const delay =
          isOnce || !error.isTransient || !mayRepeat ? undefined : tries.failedBy(error);
        if (delay === undefined) {
          throw error;
        }
        await this.#pauses.wait(delay, signal);
      }
    }
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeaderFields,
    input: AsyncIterable<MessageInitShape<I>>,
    contextValues?: ContextValues,
  ): Promise<StreamResponse<I, O>> {
    const { headers, token } = await this.#headers.of(header);
    try {
      const response = await this.#transport.stream(
        method,
        signal,
        timeoutMs,
        headers,
        input,
        contextValues,
      );
      return { ...response, message: this.#seenMessages(response.message, signal, token) };
    } catch (thrown) {
      throw this.#seen(thrown, signal, token);
    }
  }

  async *#seenMessages<O extends DescMessage>(
    messages: AsyncIterable<MessageShape<O>>,
    signal: AbortSignal | undefined,
    token: string | undefined,
  ): AsyncIterable<MessageShape<O>> {
    try {
      yield* messages;
    } catch (thrown) {
      throw this.#seen(thrown, signal, token);
    }
  }

  /** @throws the signal's reason */
  #seen(
    thrown: unknown,
    signal: AbortSignal | undefined,
    token: string | undefined,
  ): DarkroomError {
    if (signal?.aborted === true) {
      throw abortReason(signal);
    }
    const error = DarkroomError.from(thrown);
    if (refusesToken(error)) {
      this.#headers.refuse(token);
    }
    return error;
  }
}
