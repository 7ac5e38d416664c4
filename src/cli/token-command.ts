import { roles, type Role } from '../access/caller.ts';
import { isProjectName } from '../identity/acting-caller.ts';
import type { TokenRecord } from '../identity/static-tokens/token-file.ts';
import { createToken, listTokens, revokeToken } from '../identity/static-tokens/token-store.ts';
import type { CommandContext } from './command-context.ts';
import { CommandFailure } from './command-failure.ts';
import type { Environment } from './environment.ts';
import { exitCodes } from './exit-codes.ts';
import { tableLines, type Column } from './output/table.ts';
import { withTokenAudit } from './token-audit.ts';
import { UsageError } from './usage-error.ts';

/** What `darkroom token create` is told. */
export interface CreateTokenOptions {
  readonly file?: string;
  readonly user: string;
  readonly role: readonly string[];
  readonly project?: string;
  /** In ms. */
  readonly expiresIn?: number;
  readonly description?: string;
}

/** Makes a token and prints it alone, so that a script can take it. @throws UsageError, AuditFileError; as `createToken` */
export function createTokenCommand(
  { environment, out, notes }: CommandContext,
  options: CreateTokenOptions,
): void {
  const { user, project, description, role, expiresIn: lifetimeMs } = options;
  if (user === '') {
    throw new UsageError('--user is empty: who the token is for');
  }
  const given = rolesOf(role);
  if (project === undefined && given.some((one) => one !== 'service')) {
    throw new UsageError('--project is missing: only a token with no role but service needs none');
  }
  if (project !== undefined && !isProjectName(project)) {
    throw new UsageError('--project has to be of 1 to 255 characters that show, without blanks');
  }
  const file = fileOf(options.file, environment);
  const { token, record, problem } = withTokenAudit(environment, (audit) => {
    const made = createToken(file, { user, project, description, roles: given, lifetimeMs });
    return { ...made, problem: audit.record('token create', made.record) };
  });
  const until =
    record.expireTime === undefined ? 'until it is revoked' : `until ${record.expireTime}`;
  out.line(token);
  notes.write(problem ?? '');
  notes.line(
    `Shown this once. It holds ${until}; to take it back: darkroom token revoke ${record.id}`,
  );
}

/** Tells the tokens that there are, and nothing that could be used. @throws UsageError */
export function listTokensCommand(
  { environment, out }: CommandContext,
  options: { readonly file?: string; readonly json?: boolean },
): void {
  const tokens = listTokens(fileOf(options.file, environment));
  if (options.json === true) {
    const shown = tokens.map((token) => ({ ...token, sha256: undefined }));
    out.line(JSON.stringify(shown, undefined, 2));
    return;
  }
  const columns: Column<TokenRecord>[] = [
    { title: 'ID', cell: ({ id }) => id },
    { title: 'USER', cell: ({ user }) => user, shrinksTo: 8 },
    { title: 'PROJECT', cell: ({ project }) => project ?? '-', shrinksTo: 8 },
    { title: 'ROLES', cell: (token) => token.roles.join(',') },
    { title: 'CREATED', cell: ({ createTime }) => createTime },
    { title: 'EXPIRES', cell: expiryOf },
    { title: 'DESCRIPTION', cell: ({ description }) => description ?? '', shrinksTo: 8 },
  ];
  tableLines(columns, tokens, out).forEach((line) => out.line(line));
}

function expiryOf({ expireTime }: TokenRecord): string {
  const isOver = expireTime !== undefined && Date.parse(expireTime) <= Date.now();
  return expireTime === undefined ? 'never' : `${expireTime}${isOver ? ' (over)' : ''}`;
}

/** Takes a token back. @throws UsageError, AuditFileError; CommandFailure where there is none */
export function revokeTokenCommand(
  { environment, out, notes }: CommandContext,
  id: string,
  options: { readonly file?: string },
): void {
  const file = fileOf(options.file, environment);
  const problem = withTokenAudit(environment, (audit) => {
    const revoked = revokeToken(file, id);
    if (revoked === undefined) {
      throw new CommandFailure(
        exitCodes.notFound,
        `there is no token ${JSON.stringify(id)}; list shows those that there are`,
      );
    }
    return audit.record('token revoke', revoked);
  });
  out.line(`Revoked ${id}.`);
  notes.write(problem ?? '');
}

function fileOf(given: string | undefined, environment: Environment): string {
  const path = given ?? environment['DARKROOM_TOKENS_FILE'];
  if (path === undefined || path === '') {
    throw new UsageError('set DARKROOM_TOKENS_FILE, or give --file: where the tokens are kept');
  }
  return path;
}

function rolesOf(given: readonly string[]): Role[] {
  const wanted = given.flatMap((text) => text.split(','));
  const unknown = wanted.find((text) => !roles.some((role) => role === text));
  if (unknown !== undefined) {
    throw new UsageError(
      `--role has to be one of ${roles.join(', ')}, not ${JSON.stringify(unknown)}`,
    );
  }
  return roles.filter((role) => wanted.includes(role));
}
