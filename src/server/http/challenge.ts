import type { DarkroomError } from '../../domain/darkroom-error.ts';

/**
 * What `WWW-Authenticate` says to a caller who is not known, so that it learns how to be (RFC 6750, section 3); none for
 * other errors.
 *
 * @param keystoneUrl where OpenStack's clients get tokens, if they do: told as its services tell it.
 */
export function challengesOf(
  { reason }: DarkroomError,
  keystoneUrl: string | undefined,
): readonly string[] {
  const keystone = keystoneUrl === undefined ? [] : [`Keystone uri="${keystoneUrl}"`];
  switch (reason) {
    case 'CREDENTIAL_MISSING':
      return [...keystone, 'Bearer realm="darkroom"'];
    case 'CREDENTIAL_INVALID':
    case 'CREDENTIAL_EXPIRED':
      return [...keystone, 'Bearer realm="darkroom", error="invalid_token"'];
    case 'ROLE_INSUFFICIENT':
      return ['Bearer realm="darkroom", error="insufficient_scope"'];
    default:
      return [];
  }
}
