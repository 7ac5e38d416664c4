import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { hasPythonModule } from '../disk-images.ts';
import { runProgram } from '../programs.ts';
import { leash, repository } from '../service-process.ts';

const python = '/usr/bin/python3';
const adminPassword = 'password of admin';

/** Whether Debian's Keystone is there; says aloud if it is not. */
export function hasKeystone(): boolean {
  return hasPythonModule(python, 'keystone', 'python3-keystone');
}

/** Of which kind the tokens of a Keystone are. */
export type TokenKind = 'fernet' | 'jws';

/** What a token is asked for with. */
export interface Login {
  readonly user: string;
  readonly password: string;
  /** A project by its name, or more; nothing for a token without scope. */
  readonly scope?:
    { readonly project: string } | { readonly system: true } | { readonly domain: string };
}

/** What Keystone has answered. */
export interface KeystoneAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Readonly<Record<string, { readonly id: string }>>;
}

/** OpenStack's own Keystone, as Debian has it, with its database in SQLite, in a process and a folder of its own. */
export interface Keystone {
  /** `http://127.0.0.1:<port>/v3`, which stays the same. */
  readonly url: string;
  readonly folder: string;
  /** Asks as its admin, if no other token is given. @throws Error for an answer that is none of success. */
  ask(
    method: string,
    path: string,
    body?: object,
    headers?: Readonly<Record<string, string>>,
  ): Promise<KeystoneAnswer>;
  /** A token for somebody. */
  token(login: Login): Promise<string>;
  /** It goes away. */
  stop(): Promise<void>;
  /** It comes back. @param tokens Fernet tokens, if not set. */
  start(tokens?: TokenKind): Promise<void>;
}

/** The one who may do everything in a Keystone that was just made. */
export const cloudAdmin: Login = {
  user: 'admin',
  password: adminPassword,
  scope: { project: 'admin' },
};

/**
 * Starts a Keystone that ends when its `defer` says so.
 *
 * @param folder has what `makeKeystone` has made, and is written to.
 */
export async function startKeystone(
  folder: string,
  defer: (cleanUp: () => Promise<void>) => void,
): Promise<Keystone> {
  let server: ChildProcess | undefined;
  let port = 0;
  let log = '';
  const stop = async (): Promise<void> => {
    if (server?.exitCode === null && server.signalCode === null) {
      const gone = once(server, 'close');
      server.kill('SIGKILL');
      await gone;
    }
  };
  let adminToken: string | undefined;
  const start = async (tokens: TokenKind = 'fernet'): Promise<void> => {
    adminToken = undefined;
    const settings = await writeSettings(folder, tokens);
    const [program, ...args] = [
      ...leash,
      python,
      '-W',
      'ignore',
      'test/support/openstack/keystone_server.py',
      settings,
      String(port),
    ];
    server = spawn(program, args, { cwd: repository, stdio: ['ignore', 'pipe', 'pipe'] });
    server.stderr?.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-10_000);
    });
    port = await portOf(server, () => log);
  };
  defer(stop);
  await start();

  const url = `http://127.0.0.1:${port}/v3`;
  const token = async (login: Login): Promise<string> => {
    const { headers } = await asked(url, 'POST', '/auth/tokens?nocatalog', { auth: authOf(login) });
    return headers.get('x-subject-token') ?? '';
  };
  return {
    url,
    folder,
    token,
    stop,
    start,
    async ask(method, path, body, headers) {
      const own = headers?.['x-auth-token'] ?? (adminToken ??= await token(cloudAdmin));
      try {
        return await asked(url, method, path, body, { ...headers, 'x-auth-token': own });
      } catch (error) {
        throw new Error(`Keystone has said:\n${log}`, { cause: error });
      }
    },
  };
}

/** Makes keys, and a database with its admin. */
export async function makeKeystone(folder: string): Promise<void> {
  const settings = await writeSettings(folder, 'fernet');
  await makeFernetKeys(folder);
  await makeJwsKeys(folder);
  const program = 'from keystone.cmd.manage import main; main()';
  const manage = ['-W', 'ignore', '-c', program, '--config-file', settings];
  for (const command of [
    ['db_sync'],
    ['bootstrap', '--bootstrap-password', adminPassword, '--bootstrap-region-id', 'RegionOne'],
  ]) {
    const { code, errors } = await runProgram(python, [...manage, ...command], 300_000);
    if (code !== 0) {
      throw new Error(`keystone-manage ${command[0]} failed:\n${errors}`);
    }
  }
  // Keystone leaves a statement open that reads, and could not write beside it.
  const database = new DatabaseSync(join(folder, 'keystone.db'));
  database.exec('pragma journal_mode = wal');
  database.close();
}

/** Gives a Keystone in a folder other keys than it had, as `keystone-manage fernet_setup` does it: all tokens are worth nothing. */
export async function makeFernetKeys(folder: string): Promise<void> {
  const keys = join(folder, 'fernet-keys');
  await mkdir(keys, { mode: 0o700, recursive: true });
  // The second one signs; the first one is to be its successor.
  for (const name of ['0', '1']) {
    await writeFile(join(keys, name), `${randomBytes(32).toString('base64url')}=`);
  }
}

/** As `keystone-manage create_jws_keypair` does it. */
async function makeJwsKeys(folder: string): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  });
  for (const [name, key] of [
    ['private', privateKey],
    ['public', publicKey],
  ] as const) {
    const keys = join(folder, `jws-${name}`);
    await mkdir(keys, { mode: 0o700 });
    await writeFile(join(keys, `${name}.pem`), key);
  }
}

async function writeSettings(folder: string, tokens: TokenKind): Promise<string> {
  const path = join(folder, 'keystone.conf');
  await writeFile(
    path,
    `[DEFAULT]
use_stderr = true
[cache]
enabled = false
[database]
connection = sqlite:///${folder}/keystone.db
[identity]
password_hash_rounds = 4
[token]
provider = ${tokens}
[fernet_tokens]
key_repository = ${folder}/fernet-keys
[fernet_receipts]
key_repository = ${folder}/fernet-keys
[jwt_tokens]
jws_public_key_repository = ${folder}/jws-public
jws_private_key_repository = ${folder}/jws-private
`,
  );
  return path;
}

/** What it says when it listens. @throws Error if it ends before. */
async function portOf(server: ChildProcess, log: () => string): Promise<number> {
  if (server.stdout === null) {
    throw new Error('nothing reads what Keystone says');
  }
  const ended = once(server, 'close').then(() => {
    throw new Error(`Keystone has ended before it listened:\n${log()}`);
  });
  const [line] = await Promise.race([
    once(createInterface({ input: server.stdout }), 'line') as Promise<[string]>,
    ended,
  ]);
  ended.catch(() => {});
  return Number(line);
}

function authOf({ user, password, scope }: Login): object {
  const domain = { id: 'default' };
  const identity = {
    methods: ['password'],
    password: { user: { name: user, domain, password } },
  };
  if (scope === undefined) {
    return { identity, scope: 'unscoped' };
  }
  if ('project' in scope) {
    return { identity, scope: { project: { name: scope.project, domain } } };
  }
  return {
    identity,
    scope: 'system' in scope ? { system: { all: true } } : { domain: { name: scope.domain } },
  };
}

async function asked(
  url: string,
  method: string,
  path: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<KeystoneAnswer> {
  const response = await fetch(url + path, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) {
    throw new Error(`${method} ${path} was answered with ${response.status}: ${text}`);
  }
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? {} : JSON.parse(text),
  };
}
