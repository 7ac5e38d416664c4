import type { ConnectError } from '@connectrpc/connect';
import { encodeEnvelope } from '@connectrpc/connect/protocol';
import {
  codeToHttpStatus,
  contentTypeStreamRegExp,
  endStreamFlag,
  endStreamToJson,
  errorToJson,
} from '@connectrpc/connect/protocol-connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import type { DarkroomError } from '../../domain/darkroom-error.ts';
import { connectErrorOf } from '../errors/error-mapping.ts';
import { pathOf, type NodeRequest, type NodeResponse } from '../transport/node-http.ts';

/** Whether a request is one of an RPC, known or not: of gRPC, gRPC-Web or Connect. */
export function isRpc(request: NodeRequest): boolean {
  return isOfGrpc(contentTypeOf(request)) || isOfConnect(request);
}

/**
 * Answers a request of an RPC with an error before any handler sees it, in the client's protocol: gRPC and gRPC-Web get
 * a response of headers only, Connect the error as JSON, which is the last message of a stream where it asks for one.
 *
 * @param httpStatus what Connect is to get; that of the error's code if not set.
 * @returns the error as it was answered.
 */
export function refuseRpc(
  request: NodeRequest,
  response: NodeResponse,
  refusal: DarkroomError,
  httpStatus?: number,
): ConnectError {
  const error = connectErrorOf(refusal);
  const contentType = contentTypeOf(request);
  if (isOfGrpc(contentType)) {
    response.setHeader('content-type', contentType);
    for (const [name, value] of setTrailerStatus(new Headers(), error)) {
      response.setHeader(name, value);
    }
    response.end();
  } else if (httpStatus === undefined && contentTypeStreamRegExp.test(contentType)) {
    const end = JSON.stringify(endStreamToJson(new Headers(), error, undefined));
    response.setHeader('content-type', contentType);
    response.end(encodeEnvelope(endStreamFlag, Buffer.from(end)));
  } else {
    response.statusCode = httpStatus ?? codeToHttpStatus(error.code);
    response.setHeader('content-type', 'application/json');
    response.setHeader('x-content-type-options', 'nosniff');
    response.end(JSON.stringify(errorToJson(error, undefined)));
  }
  return error;
}

function contentTypeOf(request: NodeRequest): string {
  return request.headers['content-type'] ?? '';
}

function isOfGrpc(contentType: string): boolean {
  return contentType.startsWith('application/grpc');
}

/** `/package.Service/Method`, posted with one of Connect's content types or got with its query. */
function isOfConnect(request: NodeRequest): boolean {
  if (!/^\/[\w.]+\.[\w.]+\/\w+$/.test(pathOf(request))) {
    return false;
  }
  return request.method === 'POST'
    ? /^application\/(json|proto|connect\+)/.test(contentTypeOf(request))
    : (request.url ?? '').includes('connect=v1');
}
