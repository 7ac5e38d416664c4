import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { CleanUps } from '../clean-ups.ts';
import { madeOnce } from '../made-once.ts';
import { makeDataDir } from '../service-process.ts';
import { makeKeystone, startKeystone, type Keystone, type Login } from './keystone.ts';

/** Who is in a small cloud: each with a role in a project, and a password. */
const people = [
  { user: 'rita', role: 'reader', project: 'garden' },
  { user: 'ann', role: 'member', project: 'garden' },
  { user: 'ada', role: 'admin', project: 'garden' },
  { user: 'otto', role: 'member', project: 'orchard' },
  { user: 'nobody', role: 'spectator', project: 'garden' },
  { user: 'nova', role: 'service', project: 'service' },
  { user: 'darkroom', role: 'service', project: 'service' },
] as const;

type User = (typeof people)[number]['user'];
type Project = (typeof people)[number]['project'];

/** Somebody who can log in, with a role in a project. */
export interface Account {
  readonly user: string;
  readonly password: string;
  readonly project: string;
  readonly role: 'reader' | 'member' | 'admin';
}

/** A Keystone with some projects and users in it. */
export interface Cloud {
  readonly keystone: Keystone;
  /** Ids by names. */
  readonly projects: Readonly<Record<Project, string>>;
  readonly users: Readonly<Record<User, string>>;
  readonly roles: Readonly<Record<string, string>>;
  /** The settings of a service that knows its callers by it. */
  readonly settings: Readonly<Record<string, string>>;
  /** How somebody asks for a token of his project. */
  login(user: User): Login;
  /** A token of somebody's project. */
  token(user: User): Promise<string>;
  /** Makes somebody, in a project that is made, too. */
  admit(account: Account): Promise<void>;
  /** Tells the catalog where a service is. @param type such as `image`. */
  register(type: string, url: string): Promise<void>;
}

/** What is the same in each small cloud: ids by names. */
interface Ids {
  readonly projects: Record<Project, string>;
  readonly users: Record<User, string>;
  readonly roles: Record<string, string>;
  /** The service of type `identity` in the catalog. */
  identity: string;
}

/** Starts a Keystone with the people of a small cloud. A run makes those once: half a minute on a busy machine. */
export async function startCloud(
  defer: (cleanUp: () => Promise<void>) => void = onTestFinished,
): Promise<Cloud> {
  const template = await madeOnce('cloud', makeCloud);
  const dataDir = await makeDataDir();
  defer(dataDir.remove);
  const folder = dataDir.path;
  await cp(template, folder, { recursive: true });
  const { identity, ...ids } = JSON.parse(await readFile(join(folder, 'ids.json'), 'utf8')) as Ids;
  const keystone = await startKeystone(folder, defer);
  const addEndpoint = async (service: string, url: string): Promise<void> => {
    const facts = { service_id: service, interface: 'public', region_id: 'RegionOne', url };
    await make(keystone, 'endpoint', facts);
  };
  await addEndpoint(identity, keystone.url);

  const secretFile = join(folder, 'secret-of-darkroom');
  await writeFile(secretFile, 'password of darkroom\n');
  const login = (user: User): Login => ({
    user,
    password: `password of ${user}`,
    scope: { project: people.find((one) => one.user === user)?.project ?? '' },
  });
  return {
    ...ids,
    keystone,
    login,
    token: (user) => keystone.token(login(user)),
    settings: {
      DARKROOM_KEYSTONE_URL: keystone.url,
      DARKROOM_KEYSTONE_USER: 'darkroom',
      DARKROOM_KEYSTONE_SECRET_FILE: secretFile,
    },
    async admit({ user, password, project, role }) {
      const domain_id = 'default';
      const id = await make(keystone, 'user', { name: user, password, domain_id });
      const of = await make(keystone, 'project', { name: project, domain_id });
      await keystone.ask('PUT', `/projects/${of}/users/${id}/roles/${ids.roles[role]}`);
    },
    async register(type, url) {
      await addEndpoint(await make(keystone, 'service', { type, name: `darkroom ${type}` }), url);
    },
  };
}

/** Makes something of a kind, and answers its id. */
async function make(keystone: Keystone, kind: string, facts: object): Promise<string> {
  const { body } = await keystone.ask('POST', `/${kind}s`, { [kind]: facts });
  return body[kind]?.id ?? '';
}

async function makeCloud(folder: string): Promise<void> {
  await makeKeystone(folder);
  const cleanUps = new CleanUps();
  try {
    const keystone = await startKeystone(folder, cleanUps.defer);
    await writeFile(join(folder, 'ids.json'), JSON.stringify(await populate(keystone)));
  } finally {
    await cleanUps.run();
  }
}

async function populate(keystone: Keystone): Promise<Ids> {
  const domain_id = 'default';
  const ids = { projects: {}, users: {}, roles: {}, identity: '' } as Ids;
  const { projects, users, roles } = ids;
  const { body } = await keystone.ask('GET', '/roles');
  for (const { name, id } of body['roles'] as unknown as { name: string; id: string }[]) {
    roles[name] = id;
  }
  for (const name of ['service', 'spectator']) {
    roles[name] ??= await make(keystone, 'role', { name });
  }
  for (const name of ['garden', 'orchard', 'service'] as const) {
    projects[name] = await make(keystone, 'project', { name, domain_id });
  }
  for (const { user, role, project } of people) {
    const facts = { name: user, password: `password of ${user}`, domain_id };
    const id = await make(keystone, 'user', facts);
    users[user] = id;
    await keystone.ask('PUT', `/projects/${projects[project]}/users/${id}/roles/${roles[role]}`);
  }
  ids.identity = await make(keystone, 'service', { type: 'identity', name: 'keystone' });
  return ids;
}
