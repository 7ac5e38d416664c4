import { Code, DarkroomError } from '../../client/browser.ts';

/** What went wrong with a call, as a person is told it. It can be sent to another thread. */
export interface Failure {
  /**
   * `unreached`: nobody answered. `unknown`: the service wants to know who asks. `refused`: not for this reader. `passing`: it may
   * work a little later.
   */
  readonly kind: 'unreached' | 'unknown' | 'refused' | 'missing' | 'passing' | 'other';
  readonly reason: string;
  readonly message: string;
  /** What is wrong with which field of the request, where that is it. */
  readonly fields: readonly { readonly field: string; readonly description: string }[];
  readonly metadata: Readonly<Record<string, string>>;
}

/** Tells what was thrown by a call. */
export function failureOf(error: unknown): Failure {
  const told = DarkroomError.from(error);
  const kind = kindOf(told);
  return {
    kind,
    reason: told.reason,
    message:
      kind === 'unreached'
        ? 'The service does not answer. This page tries again by itself.'
        : sentence(told.message),
    fields: told.fieldViolations.map(({ field, description }) => ({ field, description })),
    metadata: told.metadata,
  };
}

function kindOf({ code, origin, isTransient }: DarkroomError): Failure['kind'] {
  if (origin === 'network') {
    return 'unreached';
  }
  switch (code) {
    case Code.UNAUTHENTICATED:
      return 'unknown';
    case Code.PERMISSION_DENIED:
      return 'refused';
    case Code.NOT_FOUND:
      return 'missing';
    default:
      return isTransient ? 'passing' : 'other';
  }
}

function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
