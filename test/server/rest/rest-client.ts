/** An answer of the Image API. */
export interface RestAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** Undefined where there is none. */
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

/** Asks the Image API as one caller. */
export type RestClient = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<RestAnswer>;

/** Content types of a patch, of the two forms that there are. */
export const patch10 = 'application/openstack-images-v2.1-json-patch';
export const patch4 = 'application/openstack-images-v2.0-json-patch';

/**
 * @param url the service’s.
 * @param token undefined where nobody needs to be known.
 */
export function restClient(url: () => string, token?: string): RestClient {
  return async (method, path, body, headers = {}) => {
    const response = await fetch(url() + path, {
      method,
      headers: {
        accept: 'application/json',
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...(token !== undefined && { 'x-auth-token': token }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>),
    };
  };
}

/** A change of an image in the newer form. */
export function patchImage(
  ask: RestClient,
  id: unknown,
  operations: readonly object[],
  type = patch10,
): Promise<RestAnswer> {
  return ask('PATCH', `/v2/images/${String(id)}`, operations, { 'content-type': type });
}
