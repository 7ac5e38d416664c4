import { isHttp2, isSecure, type NodeRequest } from '../transport/node-http.ts';

/**
 * The version of Glance's API that the view is like. Clients compare: from 2.12 on, `glance image-tasks` asks
 * for the tasks of an image.
 */
export interface ApiVersion {
  readonly id: 'v2.12';
  readonly status: 'CURRENT';
  readonly links: readonly [{ readonly rel: 'self'; readonly href: string }];
}

/** The version, with its address as the client wrote the server's. */
export function apiVersion(request: NodeRequest): ApiVersion {
  return {
    id: 'v2.12',
    status: 'CURRENT',
    links: [{ rel: 'self', href: `${originOf(request)}/v2/` }],
  };
}

/** Empty for a client that does not say whom it called: then the address is a path. */
function originOf(request: NodeRequest): string {
  const host = isHttp2(request) ? request.authority : request.headers.host;
  const scheme = isSecure(request) ? 'https' : 'http';
  return host ? `${scheme}://${host}` : '';
}
