import type { NodeRequest } from '../transport/node-http.ts';

/** A request's headers as connect and handlers take them. */
export function requestHeaders(request: NodeRequest): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (typeof value === 'string' && !name.startsWith(':')) {
      headers.append(name, value);
    }
  }
  return headers;
}
