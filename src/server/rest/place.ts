import { pathMatcher, type HttpCall, type HttpRoute } from '../http/http-endpoints.ts';
import { pathOf } from '../transport/node-http.ts';
import { sendFault, sendThrown } from './rest-answer.ts';

/** What is done at a place; what it throws is told in OpenStack's way. */
export type PlaceHandler = (call: HttpCall) => void | Promise<void>;

/** A place of OpenStack's Image API, and what may be done there. HEAD is answered as GET is. */
export interface Place {
  /** As `HttpRoute.path`. */
  readonly path: string;
  readonly methods: Readonly<Partial<Record<HttpRoute['method'], PlaceHandler>>>;
  /** Whether what changes something is done while the service stops; false if not set. */
  readonly whileDraining?: boolean;
  /** Whether what changes something takes a body for as long as its client likes, as `HttpRoute.lasts`; false if not set. */
  readonly lasts?: boolean;
}

const allMethods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;

/**
 * The routes of places. Every other method there is answered with 405, and whatever else is below /v2 with 404: both by the
 * routes of `/v2/*`, which refuse and do nothing else.
 *
 * @param prepare called before what is done at a place.
 */
export function routesOf(
  places: readonly Place[],
  prepare: (call: HttpCall, path: string) => void | Promise<void> = () => {},
): readonly HttpRoute[] {
  const table = places.map((place) => ({ place, matches: pathMatcher(place.path) }));
  const refuseOrFindNothing: PlaceHandler = (call) => {
    const parts = pathOf(call.request).split('/');
    const found = table.find(({ matches }) => matches(parts) !== undefined);
    return (found ? refuse(found.place) : findNothing)(call);
  };
  return [
    ...places.flatMap((place) =>
      methodsOf(place).map(([method, handle]) => {
        const changes = method !== 'GET';
        const whileDraining = changes && place.whileDraining === true;
        const lasts = changes && place.lasts === true;
        const prepared: PlaceHandler = async (call) => {
          await prepare(call, place.path);
          await handle(call);
        };
        return route(method, place.path, prepared, { whileDraining, lasts });
      }),
    ),
    ...places
      .filter(({ path }) => !path.startsWith('/v2/'))
      .flatMap((place) =>
        otherMethods(place).map((method) => route(method, place.path, refuse(place))),
      ),
    ...allMethods.map((method) => route(method, '/v2/*', refuseOrFindNothing)),
  ];
}

function methodsOf({ methods }: Place): [HttpRoute['method'], PlaceHandler][] {
  return allMethods.flatMap((method) => {
    const handle = methods[method];
    return handle === undefined ? [] : [[method, handle]];
  });
}

function otherMethods({ methods }: Place): HttpRoute['method'][] {
  return allMethods.filter((method) => methods[method] === undefined);
}

/** Its errors are told in OpenStack's way, that the service is stopping too. */
function route(
  method: HttpRoute['method'],
  path: string,
  handle: PlaceHandler,
  { whileDraining = false, lasts = false }: Pick<HttpRoute, 'whileDraining' | 'lasts'> = {},
): HttpRoute {
  return {
    method,
    path,
    whileDraining,
    lasts,
    handle(call) {
      tellRequestId(call);
      return handle(call);
    },
    fail(call, error) {
      tellRequestId(call);
      sendThrown(call, error);
    },
  };
}

function tellRequestId({ response, context }: HttpCall): void {
  if (!response.headersSent) {
    response.setHeader('x-openstack-request-id', context.requestId);
  }
}

function refuse(place: Place): PlaceHandler {
  const allowed = methodsOf(place)
    .flatMap(([method]) => (method === 'GET' ? ['GET', 'HEAD'] : [method]))
    .join(', ');
  return (call) => {
    call.response.setHeader('allow', allowed);
    sendFault(call, 405, `${call.request.method} is not taken here, but ${allowed}.`);
  };
}

function findNothing(call: HttpCall): void {
  const message =
    'There is nothing here. Of the Image API, this service has images, their members and tags, tasks, metadata definitions ' +
    'and schemas; it has no image cache.';
  sendFault(call, 404, message);
}
