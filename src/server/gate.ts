import { defaultCaller, type Caller, type KnownCaller } from '../access/caller.ts';
import type { AccessRule } from '../access/policy.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { quoted } from '../domain/quoted.ts';
import { actingCaller, type AdminReach } from '../identity/acting-caller.ts';
import type { Authenticator } from '../identity/authenticator.ts';
import type { CertificateNames, Identity } from '../identity/identity.ts';
import type { NodeRequest } from './transport/node-http.ts';
import { peerCertificate } from './transport/peer-certificate.ts';

/** Tells whom the credential of a request stands for. */
export type Identify = () => Identity | Promise<Identity>;

/** What the gate says to a request. */
export type Admission =
  | {
      readonly kind: 'admitted';
      /** Undefined where nobody needs to be known. */
      readonly caller: Caller | undefined;
      /** By what the caller is known, where by anything: its end is the end of what it may. */
      readonly identity: Identity | undefined;
      /** Asks anew whom the credential stands for. @throws DarkroomError where it stands for nobody any more; by rejection too. */
      readonly identifyAgain?: Identify | undefined;
    }
  | {
      readonly kind: 'refused';
      readonly error: DarkroomError;
      /** Whom it knows all the same. */
      readonly caller: KnownCaller | undefined;
    };

/**
 * Whether a request may go on, and as whose: asked once for each, of whatever protocol, before anything of it is done.
 * At once where that can be told at once.
 *
 * @param rule of what the request asks for; undefined where there is nothing that it could reach.
 */
export type Gate = (
  request: NodeRequest,
  rule: AccessRule | undefined,
) => Admission | Promise<Admission>;

/** The names in the certificate that the client of a request has proven to have; undefined where it has shown none. */
export function certificateOf(request: NodeRequest): CertificateNames | undefined {
  const certificate = peerCertificate(request);
  if (certificate === undefined) {
    return undefined;
  }
  const { uris, dns, emails, ips, validUntil } = certificate;
  const names = [
    ...uris.map((name) => `URI:${name}`),
    ...dns.map((name) => `DNS:${name}`),
    ...emails.map((name) => `email:${name}`),
    ...ips.map((name) => `IP:${name}`),
  ];
  return { names, expiresAtMs: validUntil.getTime() };
}

/** Which project a service acts for. */
const projectHeader = 'x-darkroom-project';

const asNobody: Admission = { kind: 'admitted', caller: undefined, identity: undefined };
const asDefault: Admission = { kind: 'admitted', caller: defaultCaller, identity: undefined };

/** The gate of a service that is told of no identity provider: everybody is the default project's admin. */
export const openGate: Gate = (request, rule) => {
  if (isPublic(rule)) {
    return asNobody;
  }
  const named = request.headers[projectHeader];
  return named === undefined || named === defaultCaller.projectId
    ? asDefault
    : refused(
        new DarkroomError(
          'PROJECT_NOT_ALLOWED',
          `this service is told of no identity provider, so there is only the project "default", and no ${quoted(String(named))}`,
        ),
      );
};

/**
 * The gate of a service that is told how to know callers.
 *
 * @param certificateOf the certificate that the client of a request has proven to have.
 * @param adminsActIn where admins act.
 */
export function guardedGate(
  authenticator: Authenticator,
  certificateOf: (request: NodeRequest) => CertificateNames | undefined,
  adminsActIn: AdminReach = 'their-project',
): Gate {
  return (request, rule) => {
    if (isPublic(rule)) {
      return asNobody;
    }
    const named = request.headers[projectHeader];
    const identify: Identify = () =>
      authenticator.identify({
        authorization: authorizationOf(request),
        certificateNames: () => certificateOf(request),
      });
    const admit = (identity: Identity): Admission => {
      try {
        const caller = actingFor(identity, textOf(named), rule, adminsActIn);
        return { kind: 'admitted', caller, identity, identifyAgain: identify };
      } catch (error) {
        const { userId, projectId } = identity;
        return refused(error, { userId, projectId, role: undefined });
      }
    };
    try {
      const identity = identify();
      return identity instanceof Promise
        ? identity.then(admit).catch((error: unknown) => refused(error))
        : admit(identity);
    } catch (error) {
      return refused(error);
    }
  };
}

/**
 * A gate that refuses a request of a project that makes too many.
 *
 * @param refusalOf counts a request of a project; answers why it is refused, if it is.
 */
export function limitedGate(
  gate: Gate,
  refusalOf: (projectId: string) => DarkroomError | undefined | Promise<DarkroomError | undefined>,
): Gate {
  const limited = (admission: Admission): Admission | Promise<Admission> => {
    if (admission.kind === 'refused' || admission.caller === undefined) {
      return admission;
    }
    const { caller } = admission;
    const told = (error: DarkroomError | undefined): Admission =>
      error === undefined ? admission : { kind: 'refused', error, caller };
    const refusal = refusalOf(caller.projectId);
    return refusal === undefined
      ? admission
      : refusal instanceof Promise
        ? refusal.then(told)
        : told(refusal);
  };
  return (request, rule) => {
    const admission = gate(request, rule);
    return admission instanceof Promise ? admission.then(limited) : limited(admission);
  };
}

/** OpenStack's tools send a token in a header of their own. */
function authorizationOf({ headers }: NodeRequest): string | undefined {
  const token = textOf(headers['x-auth-token']);
  return headers.authorization ?? (token === undefined ? undefined : `Bearer ${token}`);
}

function isPublic(
  rule: AccessRule | undefined,
): rule is undefined | { who: 'everybody'; on: string } {
  return rule === undefined || rule.who === 'everybody';
}

/** @throws DarkroomError PROJECT_NOT_ALLOWED, ROLE_INSUFFICIENT */
function actingFor(
  identity: Identity,
  named: string | undefined,
  rule: AccessRule,
  adminsActIn: AdminReach,
): Caller {
  const caller = actingCaller(identity, named, adminsActIn);
  if (rule.who !== 'everybody' && !rule.who.includes(caller.role)) {
    const allowed = rule.who.join(', ');
    throw new DarkroomError(
      'ROLE_INSUFFICIENT',
      `this call is for the roles ${allowed}, and the caller is a ${caller.role}`,
      { metadata: { role: caller.role, allowed_roles: allowed } },
    );
  }
  return caller;
}

/** @throws what is no answer to a caller. */
function refused(error: unknown, caller?: KnownCaller): Admission {
  if (error instanceof DarkroomError) {
    return { kind: 'refused', error, caller };
  }
  throw error;
}

function textOf(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header.join(', ') : header;
}
