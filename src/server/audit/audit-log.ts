import type { DescMethod } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import type { Logger } from 'pino';
import type { CallObserver, EndedCall } from '../transport/call-observer.ts';
import type { NodeRequest } from '../transport/node-http.ts';
import type { RequestContext } from '../transport/request-context.ts';
import { AuditFile } from './audit-file.ts';

/** Where lines go. */
export interface AuditSink {
  add(line: string): void;
  close(): void;
}

/** An audit log in a file; none where no path is given. @throws AuditFileError */
export function openAuditLog(path: string | undefined, logger: Logger): AuditLog | undefined {
  return path === undefined ? undefined : new AuditLog(new AuditFile(path, logger));
}

/** How a call that is recorded came out. */
interface Outcome {
  readonly call: string;
  /** The gRPC code's name, or an HTTP status. */
  readonly code: string | number;
  readonly reason: string | undefined;
}

/** Refusals: who is not known, who may not, and who asks for too much. */
const refusals: ReadonlySet<Code | undefined> = new Set([
  Code.Unauthenticated,
  Code.PermissionDenied,
  Code.ResourceExhausted,
]);

/**
 * So many refusals of callers whom nobody knows are recorded at once, and so many more each second: they cost their sender
 * nothing, and would fill the disk. Of the rest is recorded how many there were.
 */
const strangersAtOnce = 1000;
const strangersPerSecond = 100;

/**
 * Records who did what on what, from where, and how it came out: for each call that changes something, and for each that is
 * refused. A line of JSON for each. A change is recorded before its caller is answered.
 */
export class AuditLog {
  readonly #sink: AuditSink;
  #allowance = strangersAtOnce;
  #countedAt = performance.now();
  #omitted = 0;

  constructor(sink: AuditSink) {
    this.#sink = sink;
  }

  /** Records what is recorded when a call ends: refusals, and changes that came to nothing or are no RPC. */
  readonly observe: CallObserver = ({ request, context }) => {
    return (ended) => {
      if (context.outcome.isAudited === true) {
        return;
      }
      const isRefusal = refusals.has(ended.failure?.code) || isRefusedStatus(ended);
      if (isRefusal && context.knownCaller === undefined && !this.#hasRoom()) {
        this.#omitted += 1;
      } else if (isRefusal || mayChange(request, ended.method)) {
        this.#record(context, { call: ended.name, code: ended.code, reason: ended.reason });
      }
    };
  };

  /** Records that an RPC has done what it was asked for. */
  done(context: RequestContext, method: DescMethod): void {
    context.outcome.isAudited = true;
    const call = `${method.parent.typeName}/${method.name}`;
    this.#record(context, { call, code: 'OK', reason: undefined });
  }

  /** Lets go of the file. */
  close(): void {
    this.#sink.close();
  }

  #record(context: RequestContext, { call, code, reason }: Outcome): void {
    const { knownCaller, outcome, peer, requestId } = context;
    const line = {
      time: new Date().toISOString(),
      call,
      code,
      reason,
      project: knownCaller?.projectId,
      user: knownCaller?.userId,
      role: knownCaller?.role,
      peer,
      request_id: requestId,
      image_id: outcome.subject?.imageId,
      task_id: outcome.subject?.taskId,
      process: process.pid,
    };
    if (this.#omitted > 0 && this.#hasRoom()) {
      this.#sink.add(JSON.stringify({ time: line.time, refusals_not_recorded: this.#omitted }));
      this.#omitted = 0;
    }
    this.#sink.add(JSON.stringify(line));
  }

  #hasRoom(): boolean {
    const now = performance.now();
    const more = ((now - this.#countedAt) / 1000) * strangersPerSecond;
    this.#allowance = Math.min(strangersAtOnce, this.#allowance + more);
    this.#countedAt = now;
    if (this.#allowance < 1) {
      return false;
    }
    this.#allowance -= 1;
    return true;
  }
}

/** Whether an RPC may change something. What streams to its caller only reads in this service: watches and downloads. */
export function changes(method: DescMethod): boolean {
  return (
    method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS &&
    (method.methodKind === 'unary' || method.methodKind === 'client_streaming') &&
    !method.parent.typeName.startsWith('grpc.')
  );
}

const safeMethods: ReadonlySet<string | undefined> = new Set(['GET', 'HEAD', 'OPTIONS']);

function mayChange(request: NodeRequest, method: DescMethod | undefined): boolean {
  return method === undefined ? !safeMethods.has(request.method) : changes(method);
}

function isRefusedStatus({ failure, code }: EndedCall): boolean {
  return failure === undefined && (code === 401 || code === 403 || code === 429);
}
