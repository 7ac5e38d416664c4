import type { DarkroomError } from '../../domain/darkroom-error.ts';

/**
 * What `WWW-Authenticate` says to a caller who is not known, so that it learns how to be (RFC 6750, section 3); undefined for
 * other errors.
 */
export function challengeOf({ reason }: DarkroomError): string | undefined {
  switch (reason) {
    case 'CREDENTIAL_MISSING':
      return 'Bearer realm="darkroom"';
    case 'CREDENTIAL_INVALID':
    case 'CREDENTIAL_EXPIRED':
      return 'Bearer realm="darkroom", error="invalid_token"';
    case 'ROLE_INSUFFICIENT':
      return 'Bearer realm="darkroom", error="insufficient_scope"';
    default:
      return undefined;
  }
}
