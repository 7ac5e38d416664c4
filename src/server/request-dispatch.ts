import type { DescMethod } from '@bufbuild/protobuf';
import type { DarkroomError } from '../domain/darkroom-error.ts';
import type { Answers } from './answers.ts';
import { CredentialWatch } from './credential-watch.ts';
import { internalError } from './errors/error-mapping.ts';
import type { Admission, Gate } from './gate.ts';
import { challengesOf } from './http/challenge.ts';
import type { HttpPlace } from './http/http-endpoints.ts';
import { isRpc, refuseRpc } from './rpc/rpc-refusal.ts';
import { isClosed, type NodeRequest, type NodeResponse } from './transport/node-http.ts';
import type { RequestBody } from './transport/request-body.ts';
import type { CallContext } from './transport/request-context.ts';

/** A request on its way to its answer. */
export interface Asked {
  readonly request: NodeRequest;
  readonly response: NodeResponse;
  readonly body: RequestBody;
  readonly context: CallContext;
}

/** Brings requests past the gate to what answers them, and refusals to their clients. */
export class RequestDispatch {
  readonly #gate: Gate;
  readonly #answers: () => Answers;
  readonly #keystoneUrl: string | undefined;
  readonly #credentials = new CredentialWatch();

  /** @param keystoneUrl where callers who have no token are told to get one, if they are. */
  constructor(gate: Gate, answers: () => Answers, keystoneUrl?: string) {
    this.#gate = gate;
    this.#answers = answers;
    this.#keystoneUrl = keystoneUrl;
  }

  /** Has a request answered, if the gate lets it pass. Must be asked once for each. */
  dispatch(asked: Asked): void {
    const { rules, rpc, http } = this.#answers();
    const { request, context } = asked;
    const method = rpc.methodOf(request);
    if (method !== undefined) {
      context.outcome.method = method;
    }
    const place = method === undefined ? http.find(request) : undefined;
    const name = method ? `${method.parent.typeName}/${method.name}` : place?.name;
    try {
      const admission = this.#gate(request, rules.get(name ?? ''));
      if (admission instanceof Promise) {
        void this.#goOnLater(asked, place, admission);
      } else {
        this.#goOn(asked, place, admission);
      }
    } catch (error) {
      this.#fail(asked, place, error);
    }
  }

  /** Answers a request with an error, in the way of what it asks for, before anything of it is done. */
  refuse(asked: Asked, refusal: DarkroomError, place?: HttpPlace): void {
    const { request, response, context } = asked;
    this.#challenge(response, refusal);
    if (isRpc(request)) {
      context.outcome.failure = refuseRpc(request, response, refusal);
    } else {
      (place ?? this.#answers().http.find(request)).answer(asked, refusal);
    }
  }

  #goOn(asked: Asked, place: HttpPlace | undefined, admission: Admission): void {
    const { request, response, body, context } = asked;
    if (admission.kind === 'refused') {
      context.refuse(admission.caller);
      this.refuse(asked, admission.error, place);
      return;
    }
    const { caller, identity, identifyAgain } = admission;
    const { rpc, http } = this.#answers();
    context.admit(caller, identity !== undefined);
    let mayLast: boolean;
    if (rpc.handle(request, response, body, context)) {
      mayLast = lasts(context.outcome.method);
    } else {
      const found = place ?? http.find(request);
      found.answer(asked);
      mayLast = found.lasts;
    }
    if (identity !== undefined && mayLast) {
      const end = (error: DarkroomError): boolean => {
        if (!isRpc(request)) {
          this.#challenge(response, error);
        }
        return context.endWith(error);
      };
      this.#credentials.follow({ identity, identifyAgain, end }, response);
    }
  }

  /** Tells a caller who is not known, or not any more, how to be. */
  #challenge(response: NodeResponse, refusal: DarkroomError): void {
    const challenges = challengesOf(refusal, this.#keystoneUrl);
    if (challenges.length > 0 && !response.headersSent) {
      response.setHeader('www-authenticate', challenges);
    }
  }

  async #goOnLater(
    asked: Asked,
    place: HttpPlace | undefined,
    later: Promise<Admission>,
  ): Promise<void> {
    try {
      const admission = await later;
      if (!isClosed(asked.response)) {
        this.#goOn(asked, place, admission);
      }
    } catch (error) {
      this.#fail(asked, place, error);
    }
  }

  /** What should not be: a defect of the gate, or of what takes the request. */
  #fail(asked: Asked, place: HttpPlace | undefined, error: unknown): void {
    const { response, context } = asked;
    if (response.headersSent || isClosed(response)) {
      context.logger.error({ err: error }, 'request could not be handled');
      response.destroy();
    } else {
      this.refuse(asked, internalError(context.requestId, error), place);
    }
  }
}

/** Whether a call goes on for as long as its client likes. A download has its end, and is what was allowed when it began. */
function lasts(method: DescMethod | undefined): boolean {
  return method !== undefined && method.methodKind !== 'unary' && method.name !== 'DownloadImage';
}
