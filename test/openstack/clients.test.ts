import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { CleanUps } from '../support/clean-ups.ts';
import { hasPythonModule, hasProgram } from '../support/disk-images.ts';
import { hasGlance, startGlance } from '../support/glance.ts';
import { projectTokens } from '../support/project-tokens.ts';
import { startService } from '../support/running-service.ts';
import { makeDataDir, repository } from '../support/service-process.ts';

// Python programs that take seconds to start, on a machine that has other things to do.
vi.setConfig({ hookTimeout: 240_000, testTimeout: 240_000 });

const python = '/usr/bin/python3';
const hasClients =
  hasPythonModule(python, 'glanceclient', 'python3-glanceclient') &&
  hasProgram('openstack', 'python3-openstackclient');

/** What a command printed, and how it ended. */
interface Printed {
  readonly command: string;
  readonly code: number;
  readonly output: unknown;
}

const [owner, friend, admin] = [0, 1, 2] as const;
/** `name=`, the program, whose token, and its arguments. */
type Command = readonly (string | number)[];

const commands: readonly Command[] = [
  [
    'a=',
    'openstack',
    owner,
    ...words('image create --disk-format raw --container-format bare'),
  ].concat(words('--tag x --property os=debian --min-disk 1 --private web -f json')),
  ['openstack', owner, ...words('image show $a -f json')],
  ['openstack', owner, ...words('image set $a --name db --property k=v --tag y --min-ram 5')],
  ['openstack', owner, ...words('image set $a --protected --hidden')],
  ['openstack', owner, ...words('image unset $a --property os --tag x')],
  ['openstack', owner, ...words('image show $a -f json')],
  ['openstack', owner, ...words('image delete $a')],
  ['openstack', owner, ...words('image list -f json')],
  ['openstack', owner, ...words('image list --hidden --long -f json')],
  ['openstack', owner, ...words('image set $a --unprotected --unhidden')],
  ['openstack', owner, ...words('image list --private --status queued --sort name:asc -f json')],
  ['openstack', owner, ...words('image list --property k=v --tag y -f json')],
  ['openstack', owner, ...words('image list --name db --limit 1 -f json')],
  ['openstack', owner, ...words('image list --public -f json')],
  [
    'b=',
    'openstack',
    owner,
    ...words('image create --disk-format raw --container-format bare'),
  ].concat(words('--file FILE disk -f json')),
  ['openstack', owner, ...words('image show $b -f json')],
  ['openstack', owner, ...words('image save $b --file SAVED')],
  ['openstack', owner, ...words('image set $b --deactivate')],
  ['openstack', owner, ...words('image list --status deactivated -f json')],
  ['openstack', owner, ...words('image save $b --file SAVED')],
  ['openstack', owner, ...words('image set $b --activate')],
  ['openstack', owner, ...words('image show none -f json')],
  ['openstack', owner, ...words('image create --public web')],
  ['c=', 'glance', owner, ...words('image-create --name c --disk-format qcow2')].concat(
    words('--container-format bare --visibility shared --property os=arch --min-ram 7'),
  ),
  ['glance', owner, ...words('image-show $c')],
  ['glance', owner, ...words('image-update $c --name d --remove-property os --property p=1')],
  ['glance', owner, ...words('image-tag-update $c blue')],
  ['glance', owner, ...words('image-tag-delete $c blue')],
  ['glance', owner, ...words('image-tag-delete $c blue')],
  ['glance', owner, ...words('member-create $c friend')],
  ['glance', owner, ...words('member-create $c friend')],
  ['glance', owner, ...words('member-list --image-id $c')],
  ['glance', friend, ...words('image-list')],
  ['glance', friend, ...words('member-update $c friend accepted')],
  ['glance', friend, ...words('image-list')],
  ['glance', friend, ...words('image-show $c')],
  ['glance', friend, ...words('image-update $c --name mine')],
  ['glance', friend, ...words('image-delete $c')],
  ['glance', owner, ...words('member-update $c friend rejected')],
  ['glance', owner, ...words('member-delete $c friend')],
  ['glance', friend, ...words('image-show $c')],
  ['glance', owner, ...words('image-list --sort name:asc --property-filter p=1')],
  ['glance', owner, ...words('image-list --visibility private --sort-key name --sort-dir desc')],
  ['glance', owner, ...words('image-list --limit 2 --page-size 1 --sort-key name')],
  ['glance', owner, ...words('image-deactivate $b')],
  ['glance', owner, ...words('image-show $b')],
  ['glance', owner, ...words('image-reactivate $b')],
  ['glance', owner, ...words('image-deactivate $c')],
  ['d=', 'glance', owner, ...words('image-create --name e --disk-format raw')].concat(
    words('--container-format bare --file FILE --progress'),
  ),
  ['glance', owner, ...words('image-download $d --file SAVED')],
  ['glance', owner, ...words('image-delete $a $b $c $d')],
  ['glance', owner, ...words('image-show $c')],
  ['glance', owner, ...words('image-list')],
  ...[
    'namespace-create meta --display-name Meta --description some --visibility public --protected True',
    'namespace-create meta',
    'property-create meta --name p --title P --schema {"type":"string","enum":["a","b"]}',
    'property-create meta --name q --title Q --schema {"type":"integer","minimum":0,"default":"5"}',
    'property-list meta',
    'property-show meta q',
    'property-update meta p --name r --title R --schema {"type":"boolean"}',
    'property-show meta p',
    'object-create meta --name o --schema {"description":"d","properties":{"s":{"type":"string","title":"S"}}}',
    'object-show meta o',
    'object-property-show meta o s',
    'object-update meta o --name u',
    'object-list meta',
    'tag-create meta --name one',
    'tag-create meta --name one',
    'tag-create-multiple meta --names two,three',
    'tag-update meta two --name four',
    'tag-show meta three',
    'tag-list meta',
    'resource-type-associate meta OS::Nova::Server --prefix hw_',
    'resource-type-list',
    'namespace-resource-type-list meta',
    'namespace-show meta',
    'namespace-show meta --resource-type OS::Nova::Server',
    'namespace-list',
    'namespace-list --resource-types OS::Nova::Server --visibility public',
    'namespace-delete meta',
    'namespace-update meta --protected False --visibility private',
    'property-delete meta q',
    'object-delete meta u',
    'tag-delete meta three',
    'resource-type-deassociate meta OS::Nova::Server',
    'namespace-properties-delete meta',
    'namespace-objects-delete meta',
    'namespace-tags-delete meta',
    'namespace-show meta',
    'namespace-delete meta',
    'namespace-show meta',
    'namespace-import --file DEFINITIONS',
    'namespace-show OS::Compute::Test',
  ].map((line) => (['glance', admin] as Command).concat(words(`md-${line}`))),
  ...['namespace-list', 'namespace-show OS::Compute::Test', 'namespace-create other'].map((line) =>
    (['glance', friend] as Command).concat(words(`md-${line}`)),
  ),
];

/** A file as Glance itself brings some: what `md-namespace-import` takes. */
const definitions = {
  namespace: 'OS::Compute::Test',
  display_name: 'Test',
  description: 'of an import',
  visibility: 'public',
  protected: true,
  resource_type_associations: [{ name: 'OS::Glance::Image', prefix: 'hw_' }],
  properties: {
    action: { title: 'Action', description: 'a', type: 'string', enum: ['reset', 'pause'] },
  },
};

function words(line: string): string[] {
  return line.split(' ');
}

describe.skipIf(!hasClients || !hasGlance())('OpenStack’s own clients', () => {
  let here: readonly Printed[];
  let there: readonly Printed[];
  beforeAll(async () => {
    const cleanUps = new CleanUps();
    const { file, tokenOf } = await projectTokens(cleanUps.defer);
    const tokens = [
      tokenOf('garden', 'member'),
      tokenOf('friend', 'member'),
      tokenOf('garden', 'admin'),
    ];
    const [service, glance] = await Promise.all([
      startService({ DARKROOM_TOKENS_FILE: file, DARKROOM_PROCESSES: '1' }, cleanUps.defer),
      startGlance(cleanUps.defer),
    ]);
    [here, there] = await Promise.all([
      runCommands(cleanUps, service.process.url, tokens),
      runCommands(cleanUps, glance.url, [
        'garden.member.reader',
        'friend.member.reader',
        'garden.admin.member.reader',
      ]),
    ]);
    return cleanUps.run;
  });

  test.each(commands.map((command, i) => [i, command.join(' ')] as const))(
    '%i: %s prints the same',
    (i) => {
      expect(here[i]).toEqual(there[i]);
    },
  );
});

/** Runs all commands against one service. */
async function runCommands(
  cleanUps: CleanUps,
  url: string,
  tokens: readonly string[],
): Promise<readonly Printed[]> {
  const home = await makeDataDir();
  cleanUps.defer(home.remove);
  const disk = join(home.path, 'disk.raw');
  await writeFile(disk, 'the bytes of a disk');
  const definitionsFile = join(home.path, 'definitions.json');
  await writeFile(definitionsFile, JSON.stringify(definitions));
  const paths: Readonly<Record<string, string>> = {
    FILE: disk,
    SAVED: join(home.path, 'saved'),
    DEFINITIONS: definitionsFile,
  };
  const asked = commands.map((command) =>
    command.map((word) => (typeof word === 'string' ? (paths[word] ?? word) : word)),
  );
  const program = spawn(
    python,
    [join(repository, 'test/clients/openstack_commands.py'), url, ...tokens],
    { env: { ...process.env, HOME: home.path }, stdio: ['pipe', 'pipe', 'pipe'] },
  );
  program.stdin.end(JSON.stringify(asked));
  const [output, errors] = await Promise.all([text(program.stdout), text(program.stderr)]);
  if (!output.startsWith('[')) {
    throw new Error(`the clients ended with ${program.exitCode}: ${errors}`);
  }
  const results = JSON.parse(output) as [number, string, string][];
  const ids = new Map<string, string>();
  return results.map(([code, printed], i) => ({
    command: commands[i]?.join(' ') ?? '',
    code,
    output: common(printed, ids),
  }));
}

/** Fields that only one of both has, or that are of its own making. */
const own = /^(checksum|os_hash_\w+|os_darkroom_\w+|stores|size|locations|direct_url)$/i;

/** What was printed, without what cannot be the same: ids become the order in which they came up. */
function common(printed: string, ids: Map<string, string>): unknown {
  const told = printed
    .replaceAll(/\/v2\/tasks\/[0-9a-f-]{36}/g, 'task')
    .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => {
      const name = ids.get(id) ?? `id ${ids.size}`;
      ids.set(id, name);
      return name;
    })
    .replaceAll(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g, 'time');
  if (/^\s*[[{]/.test(told)) {
    return withoutOwn(JSON.parse(told));
  }
  // A table; what does not fit into a cell goes on in the next row, whose first one is empty.
  return told
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) => line.slice(1, -1).split('|'))
    .map((cells) => cells.map((cell) => cell.trim()))
    .filter(([first = '']) => first !== '' && !own.test(first));
}

function withoutOwn(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(withoutOwn);
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !own.test(name))
      .map(([name, inner]) => [name, withoutOwn(inner)]),
  );
}
