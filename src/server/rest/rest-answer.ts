import { STATUS_CODES } from 'node:http';
import { ErrorInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts';
import { getAnswer } from '../http/conditional-get.ts';
import { answerTo } from '../errors/error-mapping.ts';
import { sendJson, setRetryAfter, type HttpCall } from '../http/http-endpoints.ts';
import { statusOfFailure } from './failure-status.ts';

/** Answers with JSON; with 304 where an etag is given that the client knows. */
export function sendView({ request, response }: HttpCall, value: unknown, etag?: string): void {
  const answer = getAnswer(request, 200, etag);
  if (answer !== undefined) {
    response.setHeader('cache-control', answer.cacheControl);
  }
  if (etag !== undefined) {
    response.setHeader('etag', etag);
  }
  if (answer?.status === 304) {
    response.statusCode = 304;
    response.end();
  } else {
    sendJson(response, 200, value);
  }
}

/** Answers that it is done, and there is nothing to tell of it. */
export function sendNothing({ response }: HttpCall): void {
  response.statusCode = 204;
  response.end();
}

/**
 * Answers with an error as OpenStack's clients read it. Who asks for JSON gets Glance's own form. Who takes
 * anything would get HTML from Glance; here it is JSON too, but in Keystone's form: the `glance` client takes
 * "anything", and fails on JSON whose members are not objects.
 *
 * @param reason the service's own, where there is one.
 */
export function sendFault(
  { request, response }: HttpCall,
  status: number,
  message: string,
  reason?: string,
): void {
  const title = STATUS_CODES[status] ?? '';
  response.setHeader('cache-control', 'no-store');
  sendJson(
    response,
    status,
    request.headers.accept?.includes('application/json') === true
      ? { code: `${status} ${title}`, title, message, reason }
      : { error: { code: status, title, message, reason } },
  );
}

/** Answers with what was thrown. */
export function sendThrown(call: HttpCall, error: unknown): void {
  const { response, context, signal } = call;
  const failure = answerTo(error, { requestId: context.requestId, signal });
  context.outcome.failure = failure;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  setRetryAfter(response, failure);
  const [info] = failure.findDetails(ErrorInfoSchema);
  const status = statusOfFailure(error, failure.code, info?.reason);
  sendFault(call, status, failure.rawMessage, info?.reason);
}
