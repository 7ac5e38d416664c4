import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { hasProgram } from '../disk-images.ts';
import { repository } from '../service-process.ts';
import type { Account } from './cloud.ts';

/** Whether Debian's Tempest is there; says aloud if it is not. */
export function hasTempest(): boolean {
  return hasProgram('tempest', 'tempest');
}

/** What became of a test. */
export type TempestOutcome =
  { readonly kind: 'passed' } | { readonly kind: 'skipped' | 'failed'; readonly why: string };

/** What Tempest has to know of a cloud. */
export interface TempestOptions {
  /** Of its Keystone. */
  readonly keystoneUrl: string;
  /** Whom the tests are run as: for each at the same time two members and an admin, each of a project of its own. */
  readonly accounts: readonly Account[];
  /** An image that can be had over http. */
  readonly httpImage: string;
  /** The type in the catalog of a second service on the same data. */
  readonly alternateService: string;
}

/**
 * Runs OpenStack's own tests of an image service, two at the same time.
 *
 * @param folder is written to.
 * @returns what became of each, by its name without `tempest.api.image.`.
 */
export async function runTempest(
  folder: string,
  options: TempestOptions,
): Promise<ReadonlyMap<string, TempestOutcome>> {
  await mkdir(join(folder, 'locks'), { recursive: true });
  const accounts = options.accounts.map(accountOf);
  await writeFile(join(folder, 'accounts.yaml'), JSON.stringify(accounts));
  const settings = join(folder, 'tempest.conf');
  await writeFile(settings, settingsOf(folder, options));
  const code = '/usr/lib/python3/dist-packages/tempest';
  await writeFile(
    join(folder, '.stestr.conf'),
    `[DEFAULT]\ntest_path=${code}/test_discover\ntop_dir=${code}\ngroup_regex=([^\\.]*\\.)*\n`,
  );
  const tempest = `tempest run --config-file '${settings}' --regex '^tempest\\.api\\.image'`;
  const listed = await linesOf(folder, `stestr init && ${tempest} --list-tests`);
  const all = listed.filter((line) => line.startsWith('tempest.api.image')).map(nameOf);
  const told = await linesOf(
    folder,
    `${tempest} --concurrency 2 --subunit | /usr/bin/python3 '${repository}/test/support/openstack/subunit_to_json.py'`,
  );
  const outcomes = new Map<string, TempestOutcome>();
  for (const line of told) {
    const { id, status, reason } = JSON.parse(line) as Record<'id' | 'status' | 'reason', string>;
    const ofClass = /^(?:setUpClass|tearDownClass) \((.*)\)$/.exec(id)?.[1];
    const isMeant = (name: string): boolean =>
      ofClass === undefined
        ? name === nameOf(id)
        : name.startsWith(`${ofClass.replace('tempest.api.image.', '')}.`);
    for (const name of all.filter(isMeant)) {
      outcomes.set(name, outcomeOf(status, reason));
    }
  }
  for (const name of all) {
    if (!outcomes.has(name)) {
      outcomes.set(name, { kind: 'failed', why: 'Tempest did not say what became of it' });
    }
  }
  return outcomes;
}

function outcomeOf(status: string, reason: string): TempestOutcome {
  switch (status) {
    case 'success':
      return { kind: 'passed' };
    case 'skip':
      return { kind: 'skipped', why: reason };
    default:
      return { kind: 'failed', why: reason };
  }
}

/** Without its package, and the tags that come after it. */
function nameOf(id: string): string {
  return id.replace('tempest.api.image.', '').replace(/\[.*$/, '');
}

/** @throws Error for a program that says nothing. */
async function linesOf(folder: string, script: string): Promise<readonly string[]> {
  const child = spawn('bash', ['-c', script], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, HOME: folder, PYTHONWARNINGS: 'ignore' },
  });
  const lines: string[] = [];
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  await once(child, 'close');
  if (lines.length === 0) {
    throw new Error(`Tempest says nothing:\n${errors}`);
  }
  return lines;
}

/** JSON is YAML. */
function accountOf({ user, password, project, role }: Account): object {
  const domain = { user_domain_name: 'Default', project_domain_name: 'Default' };
  const types = role === 'admin' ? { types: ['admin'] } : {};
  return { username: user, password, project_name: project, ...domain, ...types };
}

function settingsOf(
  folder: string,
  { keystoneUrl, httpImage, alternateService }: TempestOptions,
): string {
  return `[DEFAULT]
log_file = ${folder}/tempest.log
[oslo_concurrency]
lock_path = ${folder}/locks
[auth]
use_dynamic_credentials = false
test_accounts_file = ${folder}/accounts.yaml
create_isolated_networks = false
[identity]
uri_v3 = ${keystoneUrl}
auth_version = v3
region = RegionOne
[service_available]
glance = true
cinder = false
neutron = false
nova = false
swift = false
horizon = false
[validation]
run_validation = false
[image]
region = RegionOne
http_image = ${httpImage}
alternate_image_endpoint = ${alternateService}
# What these tests send as images are random bytes, which are no images of any other format.
disk_formats = raw
container_formats = bare
build_timeout = 60
[image-feature-enabled]
api_v2 = true
api_v1 = false
import_image = true
os_glance_reserved = true
manage_locations = false
`;
}
