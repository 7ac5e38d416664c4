import { errorToJson } from '@connectrpc/connect/protocol-connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { connectErrorOf } from '../errors/error-mapping.ts';
import { pathOf, type NodeRequest, type NodeResponse } from '../transport/node-http.ts';

/**
 * Answers a request of an RPC that there is not, in the client's protocol: gRPC and gRPC-Web get status 12 in a
 * response of headers only, Connect gets 404 with the error as JSON. False, and nothing done, if the request is
 * not one of an RPC.
 */
export function answerUnknownMethod(request: NodeRequest, response: NodeResponse): boolean {
  const path = pathOf(request);
  const contentType = request.headers['content-type'] ?? '';
  const isGrpc = contentType.startsWith('application/grpc');
  if (!isGrpc && !isOfConnect(request, path, contentType)) {
    return false;
  }
  const error = connectErrorOf(
    new DarkroomError(
      'UNSUPPORTED',
      `there is no method ${path}; ask reflection for those that there are`,
    ),
  );
  if (isGrpc) {
    response.setHeader('content-type', contentType);
    for (const [name, value] of setTrailerStatus(new Headers(), error)) {
      response.setHeader(name, value);
    }
    response.end();
  } else {
    response.statusCode = 404;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(errorToJson(error, undefined)));
  }
  return true;
}

/** `/package.Service/Method`, posted with one of Connect's content types or got with its query. */
function isOfConnect(request: NodeRequest, path: string, contentType: string): boolean {
  if (!/^\/[\w.]+\.[\w.]+\/\w+$/.test(path)) {
    return false;
  }
  return request.method === 'POST'
    ? /^application\/(json|proto|connect\+)/.test(contentType)
    : (request.url ?? '').includes('connect=v1');
}
