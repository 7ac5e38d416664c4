import { z } from 'zod';
import { roles, type Role } from '../../access/caller.ts';
import { isProjectName } from '../acting-caller.ts';
import type { Identity } from '../identity.ts';
import { parseJsonFile } from '../json-file.ts';

/** Roles of ours by the names of Keystone's, in lower case. */
export type RoleNames = ReadonlyMap<string, Role>;

/** What is looked at in an answer of `GET /v3/auth/tokens`. */
const tokenBody = z.object({
  token: z.object({
    user: z.object({ id: z.string().min(1).max(255) }),
    project: z.object({ id: z.string().refine(isProjectName) }).optional(),
    domain: z.object({}).optional(),
    system: z.object({}).optional(),
    roles: z.array(z.object({ name: z.string() })).default([]),
    expires_at: z.iso.datetime(),
    /** Only where Keystone is told of a project whose admins are those of the cloud. */
    is_admin_project: z.boolean().default(true),
  }),
});

/** Reads names of roles as they are set: `admin=admin`. Keystone's are the same in any case, as in OpenStack's policies. */
export function roleNames(entries: readonly string[]): RoleNames {
  return new Map(
    entries.flatMap((entry) => {
      const at = entry.lastIndexOf('=');
      const name = entry.slice(0, at).trim().toLowerCase();
      const role = roles.find((one) => one === entry.slice(at + 1).trim());
      return role === undefined ? [] : [[name, role] as const];
    }),
  );
}

/**
 * Whom a token stands for, by what Keystone says of it.
 *
 * @param askAgainAtMs when it is to be asked again, in ms since 1970.
 * @throws Error that says what of it makes no sense.
 */
export function identityIn(body: string, names: RoleNames, askAgainAtMs: number): Identity {
  const { token } = parseJsonFile(body, tokenBody);
  const given = new Set(token.roles.map(({ name }) => names.get(name.toLowerCase())));
  if (!token.is_admin_project && given.delete('admin')) {
    given.add('member');
  }
  return {
    userId: token.user.id,
    projectId: token.project?.id,
    ofNoProject: token.project === undefined ? scopeOf(token) : undefined,
    roles: roles.filter((role) => given.has(role)),
    expiresAtMs: Date.parse(token.expires_at),
    isRevoked: false,
    askAgainAtMs,
  };
}

function scopeOf({ domain, system }: { domain?: unknown; system?: unknown }): string {
  if (system !== undefined) {
    return 'its token is of the system as a whole';
  }
  return domain === undefined ? 'its token has no scope' : 'its token is of a domain';
}
