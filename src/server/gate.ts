import { defaultCaller, type Caller } from '../access/caller.ts';
import type { AccessRule } from '../access/policy.ts';
import type { DarkroomError } from '../domain/darkroom-error.ts';
import type { NodeRequest } from './transport/node-http.ts';

/** What the gate says to a request. */
export type Admission =
  | { readonly kind: 'admitted'; readonly caller: Caller | undefined }
  | { readonly kind: 'refused'; readonly error: DarkroomError };

/** Who needs no credential is told apart from nobody. */
const asNobody: Admission = { kind: 'admitted', caller: undefined };
const asDefault: Admission = { kind: 'admitted', caller: defaultCaller };

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

/** The gate of a service that is told of no identity provider: everybody is the default project's admin. */
export const openGate: Gate = (_, rule) =>
  rule === undefined || rule.who === 'everybody' ? asNobody : asDefault;
