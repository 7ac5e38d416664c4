import type { JWTPayload } from 'jose';
import { roles, type Role } from '../../access/caller.ts';
import { isProjectName } from '../acting-caller.ts';
import { credentialInvalid } from '../identity.ts';

/** In which claims an issuer says who somebody is. */
export interface ClaimNames {
  readonly user: string;
  readonly project: string;
  readonly roles: string;
  /** What stands before the names of roles, such as `darkroom:`; all others are not ours. */
  readonly rolePrefix: string;
}

/** Who somebody is. */
export interface ClaimedIdentity {
  readonly userId: string;
  readonly projectId: string | undefined;
  readonly roles: readonly Role[];
}

const longestUser = 255;

/** Reads who a token is for. @throws DarkroomError CREDENTIAL_INVALID */
export function claimedIdentity(payload: JWTPayload, names: ClaimNames): ClaimedIdentity {
  const user = claim(payload, names.user);
  if (typeof user !== 'string' || user === '' || user.length > longestUser) {
    throw credentialInvalid(`the token does not say who it is for in the claim ${names.user}`);
  }
  const project = claim(payload, names.project);
  if (project !== undefined && (typeof project !== 'string' || !isProjectName(project))) {
    throw credentialInvalid(`the claim ${names.project} of the token is no name of a project`);
  }
  const given = new Set(textsOf(claim(payload, names.roles)));
  return {
    userId: user,
    projectId: project,
    roles: roles.filter((role) => given.has(names.rolePrefix + role)),
  };
}

/** The claim of that name, or, as in Keycloak's `realm_access.roles`, that inside of others. */
function claim(payload: object, name: string): unknown {
  const whole = own(payload, name);
  if (whole !== undefined) {
    return whole;
  }
  let inner: unknown = payload;
  for (const part of name.split('.')) {
    inner = own(inner, part);
  }
  return inner;
}

function own(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

/** An array of texts, or one text with blanks between, as `scope` is (RFC 8693, section 4.2). */
function textsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : typeof value === 'string' ? value.split(/ +/) : [];
}
