import { isHttp2, isSecure, type NodeRequest } from '../transport/node-http.ts';

/** A version of Glance's API, as its clients read it: they choose by the ids. */
export interface ApiVersion {
  readonly id: `v2.${number}`;
  readonly status: 'CURRENT' | 'SUPPORTED';
  readonly links: readonly [{ readonly rel: 'self'; readonly href: string }];
}

/** The one whose calls there are here: 2.16 adds those of the image cache, and there is none. */
const current = 15;

/** 2.14 is another form of 2.16, and Glance lists it with that alone. */
const supported = [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0] as const;

/** The newest version, with its address as the client wrote the server's. */
export function currentVersion(request: NodeRequest): ApiVersion {
  return version(request, current, 'CURRENT');
}

/** All versions, the newest first. */
export function apiVersions(request: NodeRequest): readonly ApiVersion[] {
  return [
    currentVersion(request),
    ...supported.map((minor) => version(request, minor, 'SUPPORTED')),
  ];
}

function version(request: NodeRequest, minor: number, status: ApiVersion['status']): ApiVersion {
  return {
    id: `v2.${minor}`,
    status,
    links: [{ rel: 'self', href: `${originOf(request)}/v2/` }],
  };
}

/** Empty for a client that does not say whom it called: then the address is a path. */
function originOf(request: NodeRequest): string {
  const host = isHttp2(request) ? request.authority : request.headers.host;
  const scheme = isSecure(request) ? 'https' : 'http';
  return host ? `${scheme}://${host}` : '';
}
