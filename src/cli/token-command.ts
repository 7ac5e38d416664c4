import { parseArgs, type ParseArgsConfig } from 'node:util';
import { roles, type Role } from '../access/caller.ts';
import { isProjectName } from '../identity/acting-caller.ts';
import type { TokenRecord } from '../identity/static-tokens/token-file.ts';
import { createToken, listTokens, revokeToken } from '../identity/static-tokens/token-store.ts';
import type { Environment } from './environment.ts';
import { withTokenAudit } from './token-audit.ts';
import { UsageError } from './usage-error.ts';

export const tokenUsage = `  darkroom token create --user <name> --role <role>… [--project <name>] [--expires-in <time>] [--description <text>]
  darkroom token list [--json]
  darkroom token revoke <id>

The tokens are kept in DARKROOM_TOKENS_FILE, or in --file <path>. A service that reads that file knows of a change within a
second. What is done is recorded in DARKROOM_AUDIT_FILE, if that is set. Roles: ${roles.join(', ')}. A token that only acts as a service needs no project. Times: 90d, 12h, 30m.
`;

const unitMs = { d: 24 * 3600 * 1000, h: 3600 * 1000, m: 60 * 1000, s: 1000 } as const;

/** What a command prints: what was asked for, and what is said besides. */
export interface Printed {
  readonly output: string;
  readonly note?: string;
}

/** Does one of the commands. @throws UsageError, AuditFileError; as `createToken`. */
export function tokenCommand(args: readonly string[], environment: Environment): Printed {
  const [command, ...rest] = args;
  switch (command) {
    case 'create':
      return create(rest, environment);
    case 'list':
      return list(rest, environment);
    case 'revoke':
      return revoke(rest, environment);
    default:
      throw new UsageError('token needs one of create, list and revoke');
  }
}

function create(args: readonly string[], environment: Environment): Printed {
  const { values } = parsed(args, {
    file: { type: 'string' },
    user: { type: 'string' },
    project: { type: 'string' },
    role: { type: 'string', multiple: true },
    'expires-in': { type: 'string' },
    description: { type: 'string' },
  });
  const { user, project, description } = values;
  if (user === undefined || user === '') {
    throw new UsageError('--user is missing: who the token is for');
  }
  const given = rolesOf(values.role ?? []);
  if (project === undefined && given.some((role) => role !== 'service')) {
    throw new UsageError('--project is missing: only a token with no role but service needs none');
  }
  if (project !== undefined && !isProjectName(project)) {
    throw new UsageError('--project has to be of 1 to 255 characters that show, without blanks');
  }
  const file = fileOf(values.file, environment);
  const lifetimeMs = lifetimeOf(values['expires-in']);
  const { token, record, problem } = withTokenAudit(environment, (audit) => {
    const made = createToken(file, { user, project, description, roles: given, lifetimeMs });
    return { ...made, problem: audit.record('token create', made.record) };
  });
  const until =
    record.expireTime === undefined ? 'until it is revoked' : `until ${record.expireTime}`;
  const note = `Shown this once. It holds ${until}; to take it back: darkroom token revoke ${record.id}\n`;
  return { output: `${token}\n`, note: `${problem ?? ''}${note}` };
}

function list(args: readonly string[], environment: Environment): Printed {
  const { values } = parsed(args, { file: { type: 'string' }, json: { type: 'boolean' } });
  const tokens = listTokens(fileOf(values.file, environment));
  if (values.json === true) {
    const shown = tokens.map((token) => ({ ...token, sha256: undefined }));
    return { output: `${JSON.stringify(shown, undefined, 2)}\n` };
  }
  const rows = [['ID', 'USER', 'PROJECT', 'ROLES', 'CREATED', 'EXPIRES', 'DESCRIPTION']];
  rows.push(...tokens.map(rowOf));
  const widths = rows[0]?.map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const lines = rows
    .map((row) => row.map((cell, column) => cell.padEnd(widths?.[column] ?? 0)).join('  '))
    .map((line) => `${line.trimEnd()}\n`);
  return { output: lines.join('') };
}

function rowOf(token: TokenRecord): string[] {
  const { id, user, project, createTime, expireTime, description } = token;
  const isOver = expireTime !== undefined && Date.parse(expireTime) <= Date.now();
  const expires = expireTime === undefined ? 'never' : `${expireTime}${isOver ? ' (over)' : ''}`;
  return [id, user, project ?? '-', token.roles.join(','), createTime, expires, description ?? ''];
}

function revoke(args: readonly string[], environment: Environment): Printed {
  const { values, positionals } = parsed(args, { file: { type: 'string' } }, true);
  const [id, ...more] = positionals;
  if (id === undefined || more.length > 0) {
    throw new UsageError('revoke needs the id of one token; list shows them');
  }
  const file = fileOf(values.file, environment);
  const problem = withTokenAudit(environment, (audit) => {
    const revoked = revokeToken(file, id);
    if (revoked === undefined) {
      throw new Error(`there is no token ${JSON.stringify(id)}; list shows those that there are`);
    }
    return audit.record('token revoke', revoked);
  });
  return { output: `Revoked ${id}.\n`, ...(problem !== undefined && { note: problem }) };
}

function parsed<const T extends NonNullable<ParseArgsConfig['options']>>(
  args: readonly string[],
  options: T,
  allowPositionals = false,
) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
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
  const known = roles.filter((role) => wanted.includes(role));
  const unknown = wanted.find((text) => !roles.some((role) => role === text));
  if (unknown !== undefined || known.length === 0) {
    throw new UsageError(
      unknown === undefined
        ? `--role is missing: one of ${roles.join(', ')}`
        : `--role has to be one of ${roles.join(', ')}, not ${JSON.stringify(unknown)}`,
    );
  }
  return known;
}

function lifetimeOf(text: string | undefined): number | undefined {
  if (text === undefined) {
    return undefined;
  }
  const [, count, unit] = /^([1-9]\d{0,5})([dhms])$/.exec(text) ?? [];
  if (count === undefined || unit === undefined) {
    throw new UsageError(
      `--expires-in has to be like 90d, 12h or 30m, not ${JSON.stringify(text)}`,
    );
  }
  return Number(count) * unitMs[unit as keyof typeof unitMs];
}
