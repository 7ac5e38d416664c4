import type { ConnectError } from '@connectrpc/connect';
import { codeToHttpStatus, codeToString } from '@connectrpc/connect/protocol-connect';
import { ErrorInfoSchema, RetryInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts';
import type { DarkroomError } from '../../domain/darkroom-error.ts';
import { serverDraining } from '../transport/drain.ts';
import { answerTo } from '../errors/error-mapping.ts';
import { pathOf, type NodeRequest, type NodeResponse } from '../transport/node-http.ts';
import type { RequestBody } from '../transport/request-body.ts';
import type { RequestContext } from '../transport/request-context.ts';

/** A request of plain HTTP. */
export interface HttpCall {
  readonly request: NodeRequest;
  readonly response: NodeResponse;
  /** What stands in the path for the `:name` parts of the route's. */
  readonly params: Readonly<Record<string, string | undefined>>;
  readonly query: URLSearchParams;
  /** What the client sends; what is not read of it is dropped after the answer. */
  readonly body: RequestBody;
  readonly context: RequestContext;
  /** Fires when the client is gone. */
  readonly signal: AbortSignal;
}

/** A place of plain HTTP. HEAD is answered as GET is. */
export interface HttpRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /**
   * With a `:name` for each part that varies: `/v2/tasks/:id`. A `/*` at the end takes whatever is below. Of the
   * routes that fit, the first one answers.
   */
  readonly path: string;
  /** Whether it is there for a request at all; if not, others of the path are. For any, if not set. */
  readonly isFor?: (request: NodeRequest) => boolean;
  /** Answers; what it throws is answered by `fail`. */
  readonly handle: (call: HttpCall) => void | Promise<void>;
  /** Answers with an error, also with one for which `handle` is not called; `sendError` if not set. */
  readonly fail?: (call: HttpCall, error: unknown) => void;
  /** Whether it is answered while the service stops; false if not set. */
  readonly whileDraining?: boolean;
  /** Whether it takes a body for as long as its client likes, and ends with the credential that it began with; false if not set. */
  readonly lasts?: boolean;
}

/** What a request is answered by and with. */
export type HttpExchange = Pick<HttpCall, 'response' | 'body' | 'context'>;

/** What is at the place that a request of plain HTTP asks for, or is not. */
export interface HttpPlace {
  /** As `placeName` has it; undefined where there is nothing, which is answered with 404 or 405. */
  readonly name: string | undefined;
  /** As its route has it. */
  readonly lasts: boolean;
  /** Answers; with `refusal`, if there is one, in the way of what is there. */
  answer(exchange: HttpExchange, refusal?: DarkroomError): void;
}

/** Places of plain HTTP. */
export interface HttpEndpoints {
  /** The names of all that there are. */
  readonly names: readonly string[];
  find(request: NodeRequest): HttpPlace;
}

/** What a place is called where others speak of it: `GET /v2/tasks/:id`. */
function placeName({ method, path }: HttpRoute): string {
  return `${method} ${path}`;
}

/** Answers requests of plain HTTP by a table of routes; 404 and 405 as JSON where none fits. */
export function httpEndpoints(routes: readonly HttpRoute[]): HttpEndpoints {
  const table = [...Map.groupBy(routes, ({ path }) => path)].map(([path, ofPath]) => ({
    matches: pathMatcher(path),
    routes: ofPath,
  }));

  return {
    names: routes.map(placeName),
    find(request) {
      const path = pathOf(request);
      const parts = path.split('/');
      const fitting = table.flatMap(({ routes: ofPath, matches }) => {
        const params = matches(parts);
        const meant = ofPath.filter((route) => route.isFor?.(request) !== false);
        return params === undefined || meant.length === 0 ? [] : [{ routes: meant, params }];
      });
      const method = request.method === 'HEAD' ? 'GET' : request.method;
      const found = fitting
        .flatMap(({ routes: ofPath, params }) => ofPath.map((route) => ({ route, params })))
        .find(({ route }) => route.method === method);
      return {
        name: found && placeName(found.route),
        lasts: found?.route.lasts === true,
        answer(exchange, refusal) {
          const { response } = exchange;
          if (refusal !== undefined) {
            const call = httpCall({ ...exchange, request, params: found?.params ?? {} });
            (found?.route.fail ?? sendError)(call, refusal);
          } else if (found !== undefined) {
            const call = httpCall({ ...exchange, request, params: found.params });
            void answer(found.route, call);
          } else if (fitting.length > 0) {
            const allowed = fitting.flatMap(({ routes: ofPath }) => ofPath);
            response.setHeader('allow', allowed.map((route) => route.method).join(', '));
            sendJson(response, 405, { message: `${request.method} is not taken at ${path}` });
          } else {
            sendJson(response, 404, { message: `there is nothing at ${path}` });
          }
        },
      };
    },
  };
}

/** Answers with JSON; members that are undefined are left out. */
export function sendJson(response: NodeResponse, status: number, value: unknown): void {
  response.statusCode = status;
  response.setHeader('content-type', 'application/json');
  response.setHeader('x-content-type-options', 'nosniff');
  response.end(JSON.stringify(value));
}

/** Answers with an error as JSON: the gRPC code, the reason and the message. */
export function sendError({ response, context, signal }: HttpCall, error: unknown): void {
  const failure = answerTo(error, { requestId: context.requestId, signal });
  context.outcome.failure = failure;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  setRetryAfter(response, failure);
  const [info] = failure.findDetails(ErrorInfoSchema);
  sendJson(response, codeToHttpStatus(failure.code), {
    code: codeToString(failure.code).toUpperCase(),
    reason: info?.reason,
    message: failure.rawMessage,
  });
}

/** Tells when to try again, where the failure says it. */
export function setRetryAfter(response: NodeResponse, failure: ConnectError): void {
  const [retry] = failure.findDetails(RetryInfoSchema);
  if (retry?.retryDelay !== undefined) {
    response.setHeader('retry-after', String(Math.max(1, Number(retry.retryDelay.seconds))));
  }
}

function httpCall(parts: Omit<HttpCall, 'query' | 'signal'>): HttpCall {
  const { request, response, body, context, params } = parts;
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const query = new URLSearchParams((request.url ?? '').slice(pathOf(request).length));
  return { request, response, body, context, params, query, signal: gone.signal };
}

async function answer(route: HttpRoute, call: HttpCall): Promise<void> {
  try {
    if (call.context.drainSignal.aborted && route.whileDraining !== true) {
      throw serverDraining();
    }
    await route.handle(call);
  } catch (error) {
    (route.fail ?? sendError)(call, error);
  }
}

/** What the parts of a path hold at the varying ones of a pattern; undefined where it does not fit. */
export function pathMatcher(
  pattern: string,
): (given: readonly string[]) => Record<string, string> | undefined {
  const isOpen = pattern.endsWith('/*');
  const parts = (isOpen ? pattern.slice(0, -2) : pattern).split('/');
  return (given) => {
    if (isOpen ? given.length <= parts.length : given.length !== parts.length) {
      return undefined;
    }
    const params: Record<string, string> = {};
    for (const [index, part] of parts.entries()) {
      const text = given[index] ?? '';
      if (part.startsWith(':') && text !== '') {
        params[part.slice(1)] = decoded(text);
      } else if (part !== text) {
        return undefined;
      }
    }
    return params;
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
