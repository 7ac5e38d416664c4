import type { DarkroomError } from '../domain/darkroom-error.ts';
import { standingOf } from './transport/connection-standing.ts';
import { pathOf, type NodeRequest } from './transport/node-http.ts';

/**
 * Tells why nothing is done that is asked on a request's connection; undefined where all is well. Health is told without a
 * certificate, too: the probes of Kubernetes and of load balancers have none.
 */
export function connectionCheck(request: NodeRequest): DarkroomError | undefined {
  const { refusal } = standingOf(request);
  return refusal?.reason === 'CLIENT_CERTIFICATE_REFUSED' && asksForHealth(request)
    ? undefined
    : refusal;
}

function asksForHealth(request: NodeRequest): boolean {
  const path = pathOf(request);
  return ['/healthz', '/readyz'].includes(path) || path.startsWith('/grpc.health.v1.Health/');
}
