import type { DescMethod, DescService } from '@bufbuild/protobuf';
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect';
import type { CallSubject } from '../transport/call-outcome.ts';
import { requestContextOf } from '../transport/request-context.ts';
import { changes, type AuditLog } from './audit-log.ts';

/** A handler of one message or many that answers with one. */
type Handler = (request: object, context: HandlerContext) => object | Promise<object>;

/**
 * The handlers of a service, with those that change something recorded: what they did before their caller hears of it, and
 * what the call was about, by the ids in its request and its answer.
 */
export function auditedHandlers<S extends DescService>(
  service: S,
  handlers: ServiceImpl<S>,
  audit: AuditLog,
): ServiceImpl<S> {
  const all: Record<string, unknown> = { ...handlers };
  for (const method of service.methods.filter(changes)) {
    const handler = all[method.localName];
    if (typeof handler === 'function') {
      all[method.localName] = audited(handler as Handler, method, audit);
    }
  }
  // As many as there were, of the same kinds.
  return all as ServiceImpl<S>;
}

function audited(handler: Handler, method: DescMethod, audit: AuditLog): Handler {
  return async (request, context) => {
    const call = requestContextOf(context);
    const asked = subjectOf(request);
    call.outcome.subject = asked;
    const answer = await handler(request, context);
    // A stream says in its first message what it is about: its handler has noted that.
    call.outcome.subject = { ...call.outcome.subject, ...asked, ...subjectOf(answer) };
    audit.done(call, method);
    return answer;
  };
}

/** The ids that a message names: those of its image and its task, or of those that it brings. */
function subjectOf(message: object): CallSubject {
  const imageId = textAt(message, 'imageId') ?? idAt(message, 'image');
  const taskId = textAt(message, 'taskId') ?? idAt(message, 'task');
  return { ...(imageId !== undefined && { imageId }), ...(taskId !== undefined && { taskId }) };
}

function textAt(message: object, name: string): string | undefined {
  const value: unknown = Reflect.get(message, name);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function idAt(message: object, name: string): string | undefined {
  const value: unknown = Reflect.get(message, name);
  return typeof value === 'object' && value !== null ? textAt(value, 'id') : undefined;
}
