import type { ServerResponse } from 'node:http';
import {
  create,
  isMessage,
  type DescMethodUnary,
  type DescService,
  type Message,
} from '@bufbuild/protobuf';
import {
  createContextKey,
  createServiceImplSpec,
  type ConnectRouter,
  type ContextValues,
  type Interceptor,
  type MethodImplSpec,
} from '@connectrpc/connect';
import {
  compressionNegotiate,
  createMethodSerializationLookup,
} from '@connectrpc/connect/protocol';
import { isHttp2, type NodeRequest, type NodeResponse } from '../transport/node-http.ts';
import { acceptedCompression } from './compression.ts';
import { DirectCallContext } from './direct-call-context.ts';
import { directForms, type DirectForm } from './direct-forms.ts';
import { onlyMessageIn } from './envelope.ts';

/** The largest request that is answered here, in bytes: larger ones are few, and what is done with them costs more. */
const maxRequestBytes = 64 * 1024;
/** Connect's own limit of answers. */
const maxAnswerBytes = 0xffffffff;

type UnarySpec = Extract<MethodImplSpec, { kind: 'unary' }>;

/** A method with what it takes to answer it. */
interface DirectMethod {
  readonly spec: UnarySpec;
  readonly serialization: ReturnType<typeof createMethodSerializationLookup>;
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
 * Has connect answer a call after all, given the request's body from its beginning. Where the handler has failed already
 * the call's values say so, to `failedDirectly`.
 */
export type LeaveToConnect = (body: AsyncIterable<Uint8Array>) => void;

const failureKey = createContextKey<{ readonly error: unknown } | undefined>(undefined, {
  description: 'failure of a direct call',
});

/** Throws what a handler has thrown in a direct call, in place of calling it again. To be the innermost interceptor. */
export const failedDirectly: Interceptor = (next) => (request) => {
  const failure = request.contextValues.get(failureKey);
  if (failure !== undefined) {
    throw failure.error;
  }
  return next(request);
};

/**
 * Answers unary calls that come as most do: one small message, not compressed, in JSON or protobuf, over Connect or gRPC.
 * There connect's pipeline of a dozen async generators and signals took a third of what the service spent on GetImage.
 *
 * Only what ends well is answered here. As soon as anything is wrong or unusual (of the request, its message, or what the
 * handler throws) connect gets the call with all that has come of it, so that each error is made in one place.
 */
export class DirectCalls {
  readonly #maxMessageBytes: number;
  readonly #admit: (service: DescService) => void;
  readonly #methods = new Map<string, DirectMethod>();

  /** @param admit called before a body is read; what it throws it throws for connect too. */
  constructor(maxMessageBytes: number, admit: (service: DescService) => void) {
    this.#maxMessageBytes = maxMessageBytes;
    this.#admit = admit;
  }

  /** The same router, which has unary methods of services noted here as they are registered. */
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
    if (spec.kind === 'unary') {
      const { parent, name } = spec.method;
      const limits = { readMaxBytes: this.#maxMessageBytes, writeMaxBytes: maxAnswerBytes };
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
    const timeout = timeoutOf(request, form);
    if (timeout.error !== undefined || !this.#admits(method.spec.method)) {
      return false;
    }
    void answer(call, method, form, timeout.timeoutMs, leave);
    return true;
  }

  #admits({ parent }: DescMethodUnary): boolean {
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
    (headers[form.encoding] ?? 'identity') === 'identity' &&
    !(Number(headers['content-length']) > maxRequestBytes)
  );
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
  leave: LeaveToConnect,
): Promise<void> {
  const { message, body } = await receive(call.body, form, serialization);
  if (message === undefined) {
    leave(body);
    return;
  }
  const { method, impl } = spec;
  const { protocolName } = form;
  const context = new DirectCallContext({ ...call, method, protocolName, timeoutMs });
  let data: Uint8Array<ArrayBuffer>;
  try {
    const answered = await impl(message, context);
    const output = isMessage(answered) ? answered : create(method.output, answered);
    data = serialization.getO(form.isBinary).serialize(output);
  } catch (error) {
    call.values.set(failureKey, { error: context.endBy(error) ?? error });
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
      compression: acceptedBy(call.request, form),
    });
  } catch {
    // The client is gone.
    response.destroy();
  }
}

/** What has been received of a call. */
interface Received {
  /** Undefined as soon as it is known that there is not just one, small and sound. */
  readonly message: Message | undefined;
  /** The request's body from its beginning. */
  readonly body: AsyncIterable<Uint8Array>;
}

async function receive(
  body: AsyncIterable<Uint8Array>,
  form: DirectForm,
  serialization: DirectMethod['serialization'],
): Promise<Received> {
  const source = body[Symbol.asyncIterator]();
  const parts: Uint8Array[] = [];
  let size = 0;
  let message: Message | undefined;
  for (;;) {
    let part: IteratorResult<Uint8Array>;
    try {
      part = await source.next();
    } catch (error) {
      const failing = { next: () => Promise.reject(error) };
      return { message: undefined, body: replayed(parts, failing) };
    }
    if (part.done === true) {
      message ??= form.isEnclosed ? undefined : parsed(form, serialization, joined(parts));
      return { message, body: replayed(parts) };
    }
    parts.push(part.value);
    size += part.value.byteLength;
    if (size > maxRequestBytes) {
      return { message: undefined, body: replayed(parts, source) };
    }
    if (form.isEnclosed) {
      // Connect refuses what is wrong as soon as it has come, though the client sends no end.
      const enclosed = onlyMessageIn(joined(parts), maxRequestBytes);
      if (enclosed === 'incomplete') {
        continue;
      }
      message = enclosed && parsed(form, serialization, enclosed);
      if (message === undefined) {
        return { message, body: replayed(parts, source) };
      }
    }
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  return first !== undefined && parts.length === 1 ? first : Buffer.concat(parts);
}

function parsed(
  { isBinary }: DirectForm,
  serialization: DirectMethod['serialization'],
  data: Uint8Array,
): Message | undefined {
  try {
    return serialization.getI(isBinary).parse(data);
  } catch {
    return undefined;
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

/** A body from its beginning, of which parts have been read. */
async function* replayed(
  parts: readonly Uint8Array[],
  rest?: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield* parts;
  if (rest !== undefined) {
    yield* { [Symbol.asyncIterator]: () => rest };
  }
}
