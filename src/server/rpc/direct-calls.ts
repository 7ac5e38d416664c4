import type { ServerResponse } from 'node:http';
import { create, isMessage, type DescService, type DescMethod } from '@bufbuild/protobuf';
import {
  createServiceImplSpec,
  type ConnectRouter,
  type ContextValues,
  type MethodImplSpec,
} from '@connectrpc/connect';
import {
  compressionNegotiate,
  createMethodSerializationLookup,
  type Compression,
} from '@connectrpc/connect/protocol';
import type { MessageLimitOf } from '../errors/protocol-failure.ts';
import { isHttp2, type NodeRequest, type NodeResponse } from '../transport/node-http.ts';
import { acceptedCompression } from './compression.ts';
import { DirectCallContext } from './direct-call-context.ts';
import { directForms, type DirectForm } from './direct-forms.ts';
import { answerStream, writesItsAnswer } from './direct-streams.ts';
import { JsonThread } from './json-thread.ts';
import type { LargeJson } from './received-json.ts';
import { settle } from './settled-directly.ts';
import { peerGroup } from '../transport/peer-group.ts';
import { receive } from './received-message.ts';
import type { MessageSerialization } from './received.ts';

/** The largest request that is answered here, in bytes, but for JSON: larger ones are few, and what is done with them costs more. */
const maxRequestBytes = 64 * 1024;
/** Connect's own limit of answers. */
const maxAnswerBytes = 0xffffffff;

type DirectSpec = Extract<MethodImplSpec, { kind: 'unary' | 'server_streaming' }>;

/** A method with what it takes to answer it. */
interface DirectMethod {
  readonly spec: DirectSpec;
  readonly serialization: MessageSerialization;
}

/** A call that may be answered here. */
export interface SmallCall {
  readonly path: string;
  readonly request: NodeRequest;
  readonly response: NodeResponse;
  readonly values: ContextValues;
  /** The request's body, of which nothing has been read. */
  readonly body: AsyncIterable<Uint8Array>;
}

/**
 * Has connect answer a call after all, given the request's body from its beginning. Where its handler has been called already,
 * the call's values say what came of it, to `settledDirectly`.
 */
export type LeaveToConnect = (body: AsyncIterable<Uint8Array>) => void;

/**
 * Answers unary calls that come as most do: one small message, not compressed, in JSON or protobuf, over Connect or gRPC; and
 * those with a large one in JSON, which is read on another thread.
 * There connect's pipeline of a dozen async generators and signals took a third of what the service spent on GetImage.
 *
 * Only what ends well is answered here. As soon as anything is wrong or unusual (of the request, its message, or what the
 * handler throws) connect gets the call with all that has come of it, so that each error is made in one place.
 */
export class DirectCalls {
  readonly #maxMessageBytesOf: MessageLimitOf;
  readonly #admit: (service: DescService) => void;
  readonly #jsonThread = new JsonThread();
  readonly #methods = new Map<string, DirectMethod>();

  /** @param admit called before a body is read; what it throws it throws for connect too. */
  constructor(maxMessageBytesOf: MessageLimitOf, admit: (service: DescService) => void) {
    this.#maxMessageBytesOf = maxMessageBytesOf;
    this.#admit = admit;
  }

  /** The same router, which has methods of services noted here as they are registered. */
  noting(router: ConnectRouter): ConnectRouter {
    const noting: ConnectRouter = {
      handlers: router.handlers,
      service: (service, implementation, options) => {
        const { methods } = createServiceImplSpec(service, implementation);
        Object.values(methods).forEach((spec) => this.#note(spec));
        router.service(service, implementation, options);
        return noting;
      },
      rpc: (method, implementation, options) => {
        router.rpc(method, implementation, options);
        return noting;
      },
    };
    return noting;
  }

  #note(spec: MethodImplSpec): void {
    if (
      spec.kind === 'unary' ||
      (spec.kind === 'server_streaming' && writesItsAnswer(spec.method))
    ) {
      const { parent, name } = spec.method;
      const limits = {
        readMaxBytes: this.#maxMessageBytesOf(spec.method),
        writeMaxBytes: maxAnswerBytes,
      };
      this.#methods.set(`/${parent.typeName}/${name}`, {
        spec,
        serialization: createMethodSerializationLookup(spec.method, undefined, undefined, limits),
      });
    }
  }

  /** Answers the call, or says at once, by false, that it is not for here; then nothing of it has been read. */
  take(call: SmallCall, leave: LeaveToConnect): boolean {
    const { request } = call;
    const method = this.#methods.get(call.path);
    const form = directForms.get(request.headers['content-type']);
    if (method === undefined || form === undefined || !isUsual(request, form)) {
      return false;
    }
    const large = isJson(form) ? this.#largeJson(request, method, form) : undefined;
    // Connect has streams of its own, in other types of content, and refuses them in these.
    if (method.spec.kind === 'server_streaming' && !form.isEnclosed) {
      return false;
    }
    const timeout = timeoutOf(request, form);
    if (timeout.error !== undefined || !this.#admits(method.spec.method)) {
      return false;
    }
    void answer(call, method, form, timeout.timeoutMs, large, leave);
    return true;
  }

  #largeJson(
    request: NodeRequest,
    { spec: { method }, serialization }: DirectMethod,
    { encoding }: DirectForm,
  ): LargeJson {
    return {
      thread: this.#jsonThread,
      client: peerGroup(request.socket.remoteAddress ?? ''),
      typeName: method.input.typeName,
      maxBytes: this.#maxMessageBytesOf(method),
      compression: compressionOf(request.headers[encoding]),
      serialization,
    };
  }

  #admits({ parent }: DescMethod): boolean {
    try {
      this.#admit(parent);
      return true;
    } catch {
      return false;
    }
  }
}

function isUsual(request: NodeRequest, form: DirectForm): boolean {
  const { method, headers } = request;
  return (
    method === 'POST' &&
    (form.protocolName === 'connect' || isHttp2(request)) &&
    (isJson(form)
      ? isIdentity(headers[form.encoding]) || compressionOf(headers[form.encoding]) !== undefined
      : isIdentity(headers[form.encoding]) &&
        !(Number(headers['content-length']) > maxRequestBytes))
  );
}

function isJson({ isBinary, isEnclosed }: DirectForm): boolean {
  return !isBinary && !isEnclosed;
}

function isIdentity(encoding: string | string[] | undefined): boolean {
  return (encoding ?? 'identity') === 'identity';
}

function compressionOf(encoding: string | string[] | undefined): Compression | undefined {
  return acceptedCompression.find(({ name }) => name === encoding);
}

function timeoutOf(
  { headers }: NodeRequest,
  { timeout, parseTimeout }: DirectForm,
): ReturnType<DirectForm['parseTimeout']> {
  const given = headers[timeout];
  return typeof given === 'string' ? parseTimeout(given, Number.POSITIVE_INFINITY) : {};
}

async function answer(
  call: SmallCall,
  { spec, serialization }: DirectMethod,
  form: DirectForm,
  timeoutMs: number | undefined,
  large: LargeJson | undefined,
  leave: LeaveToConnect,
): Promise<void> {
  const {
    message,
    body,
    isBodyGone = false,
    failure,
  } = await receive(call.body, form, serialization, maxRequestBytes, large);
  if (message === undefined) {
    if (isBodyGone) {
      settle(call.values, { kind: 'failed', error: failure, isBodyGone });
    }
    leave(body);
    return;
  }
  const { protocolName } = form;
  const { method } = spec;
  const context = new DirectCallContext({ ...call, method, protocolName, timeoutMs });
  const compression = acceptedBy(call.request, form);
  let data: Uint8Array<ArrayBuffer>;
  try {
    if (spec.kind === 'server_streaming') {
      const stream = { ...call, context, form, compression };
      await answerStream(
        stream,
        () => spec.impl(message, context),
        () => leave(body),
      );
      return;
    }
    const answered = await spec.impl(message, context);
    const output = isMessage(answered) ? answered : create(method.output, answered);
    data = serialization.getO(form.isBinary).serialize(output);
  } catch (error) {
    settle(call.values, { kind: 'failed', error: context.endBy(error) ?? error, isBodyGone });
    leave(body);
    return;
  }
  // That of HTTP/2 has all that is used here, but types that do not agree.
  const response = call.response as ServerResponse;
  try {
    await form.write(response, {
      data,
      headers: context.setHeaders,
      trailers: context.setTrailers,
      compression,
    });
  } catch {
    // The client is gone.
    response.destroy();
  }
}

function acceptedBy(
  { headers }: NodeRequest,
  { acceptEncoding }: DirectForm,
): (typeof acceptedCompression)[number] | null {
  const accepted = headers[acceptEncoding];
  return typeof accepted === 'string'
    ? compressionNegotiate(acceptedCompression, null, accepted, acceptEncoding).response
    : null;
}
