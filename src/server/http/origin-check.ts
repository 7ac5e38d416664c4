import { DarkroomError } from '../../domain/darkroom-error.ts';
import { quoted } from '../../domain/quoted.ts';
import { isSecure, type NodeRequest } from '../transport/node-http.ts';

/** Whether pages of an origin may call the service. @param origins `*` for every page. */
export function allowsOrigin(origins: readonly string[], origin: string): boolean {
  return origins.includes('*') || origins.includes(origin);
}

/**
 * Tells why a request may not be done that a page in a browser makes; undefined where it may, or where no page makes it.
 *
 * CORS alone keeps a page from reading an answer, and from sending what needs a preflight; what a form, an image or a
 * script asks for is done all the same. So what a browser says of who asks is looked at before anything is done:
 * `Origin`, which it sends along with all that may change something, and else `Sec-Fetch-Site`. Links to the service,
 * which only read, may stand anywhere. Pages of the service itself are its own: the name in their origin is one that
 * `hostCheck` has taken.
 *
 * @param origins those whose pages may call; `*` for every page.
 */
export function originCheck(
  origins: readonly string[],
): (request: NodeRequest) => DarkroomError | undefined {
  if (origins.includes('*')) {
    return () => undefined;
  }
  return (request) => {
    const { origin } = request.headers;
    if (origin === undefined) {
      return isOfOtherSite(request) ? notAllowed('a page of another site') : undefined;
    }
    return allowsOrigin(origins, origin) || isOwn(request, origin)
      ? undefined
      : notAllowed(`a page of the origin ${quoted(origin)}`);
  };
}

/**
 * What stands before the service may speak TLS, so that its pages are of https. Where the service itself does, a page without
 * it is another one, which anybody on the network may have written.
 */
function isOwn(request: NodeRequest, origin: string): boolean {
  const { headers } = request;
  const authority = headers[':authority'] ?? headers.host;
  const schemes = isSecure(request) ? ['https'] : ['http', 'https'];
  return (
    typeof authority === 'string' &&
    schemes.some((scheme) => origin === `${scheme}://${authority.toLowerCase()}`)
  );
}

/** A page's image, script, frame or the like; not a link that is followed. */
function isOfOtherSite({ headers, method }: NodeRequest): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== 'cross-site' && site !== 'same-site') {
    return false;
  }
  const isRead = method === 'GET' || method === 'HEAD';
  const target = headers['sec-fetch-dest'];
  const isLink =
    headers['sec-fetch-mode'] === 'navigate' && (target === 'document' || target === 'empty');
  return !(isRead && isLink);
}

function notAllowed(who: string): DarkroomError {
  return new DarkroomError(
    'ORIGIN_NOT_ALLOWED',
    `${who} may not call the service: have its operator add the page's origin to DARKROOM_CORS_ORIGINS`,
  );
}
