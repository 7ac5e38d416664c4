import { DarkroomError } from '../../domain/darkroom-error.ts';
import { pathOf, type NodeRequest, type NodeResponse } from '../transport/node-http.ts';
import { isRpc, refuseRpc } from './rpc-refusal.ts';

/**
 * Answers a request of an RPC that there is not, in the client's protocol: UNIMPLEMENTED, which is 404 in Connect.
 * False, and nothing done, if the request is not one of an RPC.
 */
export function answerUnknownMethod(request: NodeRequest, response: NodeResponse): boolean {
  if (!isRpc(request)) {
    return false;
  }
  const error = new DarkroomError(
    'UNSUPPORTED',
    `there is no method ${pathOf(request)}; ask reflection for those that there are`,
  );
  refuseRpc(request, response, error, 404);
  return true;
}
