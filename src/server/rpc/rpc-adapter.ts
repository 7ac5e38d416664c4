import type { DescMethod, DescService } from '@bufbuild/protobuf';
import {
  Code,
  ConnectError,
  createConnectRouter,
  type ConnectRouter,
  type ContextValues,
  type HandlerContext,
} from '@connectrpc/connect';
import type { UniversalHandler, UniversalServerRequest } from '@connectrpc/connect/protocol';
import type { StreamPace } from '../../uploads/receiving/stream-watchdog.ts';
import { conditionalResponse } from '../http/conditional-get.ts';
import { answerTo, errorInterceptor, withErrors } from '../errors/error-mapping.ts';
import type { MessageLimitOf } from '../errors/protocol-failure.ts';
import { isClosed, pathOf, type NodeRequest, type NodeResponse } from '../transport/node-http.ts';
import { refuseRpc } from './rpc-refusal.ts';
import { undecodableQuery } from './get-query.ts';
import type { RequestBody } from '../transport/request-body.ts';
import {
  contextValuesWith,
  requestContextOf,
  type RequestContext,
} from '../transport/request-context.ts';
import { writeResponse } from '../transport/response-writer.ts';
import { dropEndlessTimeout } from './call-timeout.ts';
import { acceptedCompression, compressMinBytes } from './compression.ts';
import { DirectCalls } from './direct-calls.ts';
import { directMessages, withBody } from './direct-messages.ts';
import { atPace } from '../http/paced-body.ts';
import { limitedRouter } from './limited-router.ts';
import { measuredJson } from './measured-json.ts';
import { requestHeaders } from './request-headers.ts';
import { settledDirectly, throwIfBodyGone } from './settled-directly.ts';
import { answerUnknownMethod } from './unknown-method.ts';

/** What the adapter needs to take calls. */
export interface RpcAdapterOptions {
  /** Registers the services. */
  readonly routes: (router: ConnectRouter) => void;
  readonly maxMessageBytesOf: MessageLimitOf;
  /** How fast a client has to send the message of a call that has one. */
  readonly pace: StreamPace;
  /** Called for each call before its body is read; what it throws is what the call is answered with. */
  readonly admit?: (service: DescService) => void;
}

/** Takes RPCs from Node's servers. */
export interface RpcAdapter {
  /** The methods that were registered, as `package.Service/Method`. */
  readonly names: readonly string[];
  /** The method that a request asks for; undefined if it is none that there is. */
  methodOf(request: NodeRequest): DescMethod | undefined;
  /** Answers a request if it is one of an RPC, known or not; false if it is something else. */
  handle(
    request: NodeRequest,
    response: NodeResponse,
    body: RequestBody,
    context: RequestContext,
  ): boolean;
}

/** Request headers with which a client of any of the protocols says how answers may be compressed. */
const acceptEncodingHeaders = [
  'grpc-accept-encoding',
  'connect-accept-encoding',
  'accept-encoding',
];

/** For an error that is known: its own signal has aborted with it, which says nothing of the call's end. */
const neverAborted = new AbortController().signal;

/**
 * Mounts a ConnectRouter onto Node's requests: gRPC, gRPC-Web and Connect, over HTTP/1.1 and HTTP/2. It does
 * what connect-node's own adapter does, and besides:
 *
 * - every message is bounded, and one that is too large or cannot be decoded gets an error of the contract;
 * - a request whose connection breaks is never taken for one that ended (see RequestBody);
 * - an answer that is given before the request has ended arrives (see discardRestAfter);
 * - unknown methods are answered in the client's protocol.
 */
export function createRpcAdapter(options: RpcAdapterOptions): RpcAdapter {
  const { maxMessageBytesOf, pace, admit } = options;
  const router = createConnectRouter({
    acceptCompression: acceptedCompression,
    compressMinBytes,
    interceptors: [
      directMessages(maxMessageBytesOf),
      errorInterceptor(maxMessageBytesOf),
      settledDirectly,
    ],
    requestGate(context) {
      settleErrors(context, maxMessageBytesOf);
      try {
        admit?.(context.service);
        throwIfBodyGone(context.values);
      } catch (error) {
        throw answerTo(error, failedCall(context, maxMessageBytesOf));
      }
    },
  });
  const direct = new DirectCalls(maxMessageBytesOf, (service) => admit?.(service));
  options.routes(direct.noting(limitedRouter(router, maxMessageBytesOf)));
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));

  return {
    names: router.handlers.map(({ requestPath }) => requestPath.slice(1)),
    methodOf: (request) => handlers.get(pathOf(request))?.method,
    handle(request, response, body, context) {
      const path = pathOf(request);
      const handler = handlers.get(path);
      if (handler === undefined) {
        return answerUnknownMethod(request, response);
      }
      const undecodable = request.method === 'GET' ? undecodableQuery(request) : undefined;
      if (undecodable !== undefined) {
        context.outcome.failure = refuseRpc(request, response, undecodable);
        return true;
      }
      const values = withBody(contextValuesWith(context), body);
      const message = messageOf(handler, body, pace);
      const leave = (rest: AsyncIterable<Uint8Array>): void => {
        const { method } = handler;
        const measured = measuredJson(request, method, rest, maxMessageBytesOf(method));
        void answer(handler, request, response, measured, context, values);
      };
      if (!direct.take({ path, request, response, values, body: message }, leave)) {
        leave(message);
      }
      return true;
    },
  };
}

async function answer(
  handler: UniversalHandler,
  request: NodeRequest,
  response: NodeResponse,
  body: AsyncIterable<Uint8Array>,
  context: RequestContext,
  contextValues: ContextValues,
): Promise<void> {
  const gone = new AbortController();
  const onClose = (): void =>
    gone.abort(new ConnectError('the client ended the call', Code.Canceled));
  response.once('close', onClose);
  if (isClosed(response)) {
    onClose();
  }
  try {
    const universal = await handler(
      universalRequest(handler, request, body, gone.signal, context, contextValues),
    );
    if (universal.status === 405) {
      // HTTP wants it (RFC 9110, section 15.5.6), and connect leaves it out.
      response.setHeader('allow', handler.allowedMethods.join(', '));
    }
    const { rest } = context;
    if (rest !== undefined && !gone.signal.aborted) {
      response.off('close', onClose);
      rest.writeTo(response, universal);
      return;
    }
    rest?.abandon();
    await writeResponse(response, conditionalResponse(request, universal), gone.signal);
    // Nobody is left to be told: an error, and a DOMException in Node, are made for each call that ends well otherwise.
    response.off('close', onClose);
  } catch (error) {
    context.rest?.abandon();
    // All errors of handlers are in the response: what comes here is a defect, or a client that is gone.
    if (!gone.signal.aborted) {
      context.logger.error({ err: error }, 'response could not be written');
      response.destroy();
    }
  }
}

function universalRequest(
  { method, requestPath }: UniversalHandler,
  request: NodeRequest,
  requestBody: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  context: RequestContext,
  contextValues: ContextValues,
): UniversalServerRequest {
  const header = requestHeaders(request);
  dropEndlessTimeout(header);
  if (method.name === 'DownloadImage') {
    // grpc-js accepts gzip unless it is told otherwise, and connect then compresses all that it answers: at
    // 40 MiB/s, and for disk images that are mostly compressed or encrypted already.
    for (const name of acceptEncodingHeaders) {
      header.set(name, 'identity');
    }
  }
  // Those of a stream reach its handler; all others connect would answer as "internal error".
  const body =
    method.methodKind === 'client_streaming'
      ? requestBody
      : withErrors(requestBody, (error) => {
          throw answerTo(error, { requestId: context.requestId, signal });
        });
  return {
    httpVersion: request.httpVersion,
    method: request.method ?? '',
    // Only the query of a GET is looked at. The client's authority is not taken: it need not make a URL.
    url:
      request.method === 'GET'
        ? new URL(request.url ?? '/', 'http://darkroom').toString()
        : `http://darkroom${requestPath}`,
    header,
    body,
    signal,
    contextValues,
  };
}

/** A stream is open for as long as its client likes; who sends but one message has to send it. */
function messageOf(
  { method }: UniversalHandler,
  body: RequestBody,
  pace: StreamPace,
): AsyncIterable<Uint8Array> {
  const isOne = method.methodKind === 'unary' || method.methodKind === 'server_streaming';
  return isOne ? atPace(body, pace) : body;
}

function failedCall(
  context: HandlerContext,
  maxMessageBytesOf: MessageLimitOf,
): Parameters<typeof answerTo>[1] {
  const { requestId } = requestContextOf(context);
  const { method, signal } = context;
  return { requestId, signal, rpc: { method, maxMessageBytes: maxMessageBytesOf(method) } };
}

/** Connect's own context of a call has this besides. */
interface Abortable {
  abort(reason?: unknown): void;
}

/**
 * Errors that connect finds while it reads the message of a unary call pass no interceptor: a message that is
 * too large or cannot be decoded. They can be seen in one place, the `abort` of the call's context, which connect calls with
 * each error just before it is written to the response, and they can be changed there only in place. Its signal tells
 * the first reason alone, which may be that the client's time is over.
 */
function settleErrors(context: HandlerContext, maxMessageBytesOf: MessageLimitOf): void {
  const controller = context as HandlerContext & Abortable;
  const abort = controller.abort.bind(controller);
  controller.abort = (error?: unknown): void => {
    if (error instanceof ConnectError) {
      const { code, message, rawMessage, details } = answerTo(error, {
        ...failedCall(context, maxMessageBytesOf),
        signal: neverAborted,
      });
      Object.assign(error, { code, message, rawMessage, details });
      requestContextOf(context).outcome.failure ??= error;
    }
    abort(error);
  };
}
