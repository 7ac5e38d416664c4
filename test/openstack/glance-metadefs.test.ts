import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { restClient, type RestClient } from '../server/rest/rest-client.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasGlance, startGlance } from '../support/glance.ts';
import { startService } from '../support/running-service.ts';
import { tell, type Step, type Told } from './glance-stories.ts';

vi.setConfig({ hookTimeout: 120_000, testTimeout: 60_000 });

const all = '/v2/metadefs/namespaces';
/** Where Debian has the definitions that Glance brings. */
const brought = '/etc/glance/metadefs';
const ask = (method: string, path: string, body?: unknown): Step => ({
  ask: [method, path, body],
});
const size = { title: 'Size', type: 'integer', minimum: 0, maximum: 10, default: '5' };
const colour = {
  title: 'Colour',
  type: 'string',
  description: 'of it',
  enum: ['red', 'blue'],
  operators: ['<or>'],
};
const list = { title: 'List', type: 'array', items: { type: 'string', enum: ['a'] }, minItems: 1 };

/** Each is told of a namespace of its own, `N`. */
const stories: Readonly<Record<string, (name: string) => readonly Step[]>> = {
  'a namespace is made, changed and deleted': (n) => [
    ask('POST', all, { namespace: n }),
    ask('POST', all, { namespace: n }),
    ask('GET', `${all}/${n}`),
    ask('PUT', `${all}/${n}`, {
      namespace: n,
      display_name: 'shown',
      description: 'of something',
      visibility: 'public',
      protected: true,
    }),
    ask('GET', `${all}/${n}`),
    ask('DELETE', `${all}/${n}`),
    ask('PUT', `${all}/${n}`, { namespace: `${n}-2` }),
    ask('GET', `${all}/${n}`),
    ask('GET', `${all}/${n}-2`),
    ask('DELETE', `${all}/${n}-2`),
    ask('DELETE', `${all}/${n}-2`),
    ask('GET', `${all}/${n}-2`),
  ],
  'a namespace is made with all that it has': (n) => [
    ask('POST', all, {
      namespace: n,
      display_name: 'd',
      description: '',
      visibility: 'public',
      protected: false,
      resource_type_associations: [
        { name: 'OS::Glance::Image', prefix: 'hw_' },
        { name: 'OS::Cinder::Volume', prefix: 'hw_', properties_target: 'image' },
        { name: 'OS::Nova::Flavor' },
      ],
      properties: { size, colour, list },
      objects: [
        { name: 'o', description: 'an object', required: ['size'], properties: { size, colour } },
      ],
      tags: [{ name: 't' }, { name: 'u' }],
    }),
    ask('GET', `${all}/${n}`),
    ask('GET', `${all}/${n}?resource_type=OS::Glance::Image`),
    ask('GET', `${all}/${n}?resource_type=OS::Nova::Flavor`),
    ask('GET', `${all}/${n}?resource_type=none`),
    ask('GET', `${all}/${n}/properties`),
    ask('GET', `${all}/${n}/properties/size`),
    ask('GET', `${all}/${n}/properties/hw_size?resource_type=OS::Glance::Image`),
    ask('GET', `${all}/${n}/properties/size?resource_type=OS::Glance::Image`),
    ask('GET', `${all}/${n}/properties/size?resource_type=OS::Nova::Flavor`),
    ask('GET', `${all}/${n}/objects`),
    ask('GET', `${all}/${n}/objects/o`),
    ask('GET', `${all}/${n}/tags`),
    ask('GET', `${all}/${n}/tags/t`),
    ask('GET', `${all}/${n}/resource_types`),
    ask('GET', `${all}?resource_types=OS::Nova::Flavor`),
    ask('GET', `${all}?resource_types=OS::Nova::Flavor,x`),
    ask('GET', `${all}?resource_types=x`),
    ask('GET', '/v2/metadefs/resource_types'),
    ask('DELETE', `${all}/${n}/objects`),
    ask('DELETE', `${all}/${n}/properties`),
    ask('DELETE', `${all}/${n}/tags`),
    ask('GET', `${all}/${n}`),
    ask('DELETE', `${all}/${n}`),
  ],
  'what is wrong with a namespace': (n) => [
    ask('POST', all, {}),
    ask('POST', all, { namespace: 5 }),
    ask('POST', all, { namespace: 'x'.repeat(81) }),
    ask('POST', all, { namespace: n, visibility: 'shared' }),
    ask('POST', all, { namespace: n, protected: 'x' }),
    ask('POST', all, { namespace: n, display_name: 'x'.repeat(81) }),
    ask('POST', all, { namespace: n, description: 'x'.repeat(501) }),
    ask('POST', all, { namespace: n, owner: 5 }),
    ask('POST', all, { namespace: n, colour: 'red' }),
    ask('POST', all, { namespace: n, self: 'x' }),
    ask('POST', all, { namespace: n, created_at: 'x' }),
    ask('POST', all, { namespace: n, properties: { p: { type: 'string' } } }),
    ask('POST', all, { namespace: n, properties: { p: { title: 'x', type: 'x' } } }),
    ask('POST', all, { namespace: n, properties: [] }),
    ask('POST', all, { namespace: n, objects: {} }),
    ask('POST', all, { namespace: n, tags: ['x'] }),
    ask('POST', all, { namespace: n, tags: [{ name: 'x' }, { name: 'x' }] }),
    ask('POST', all, { namespace: n, resource_type_associations: 'x' }),
    ask('GET', `${all}/${n}`),
    ask('PUT', `${all}/${n}`, { namespace: n }),
    ask('GET', `${all}?limit=-1`),
    ask('GET', `${all}?sort_dir=up`),
    ask('GET', `${all}?visibility=shared`),
    ask('GET', `${all}?marker=none`),
  ],
  'namespaces are listed': (n) => [
    ask('POST', all, { namespace: `${n}-b`, display_name: 'y', visibility: 'public' }),
    ask('POST', all, { namespace: `${n}-a`, display_name: 'z' }),
    ask('POST', all, { namespace: `${n}-c`, display_name: 'x' }),
    ...[
      '',
      'sort_dir=asc',
      'sort_key=namespace&sort_dir=asc',
      'sort_key=display_name&sort_dir=asc',
      'sort_key=namespace',
      'sort_key=created_at&sort_dir=asc&limit=2',
      `sort_key=namespace&sort_dir=asc&limit=2&marker=${n}-a`,
      'visibility=public',
      'visibility=private&sort_key=namespace',
      'limit=3',
    ].map((query) => ask('GET', `${all}?${query}`)),
    ...['a', 'b', 'c'].map((letter) => ask('DELETE', `${all}/${n}-${letter}`)),
  ],
  'objects come, change and go': (n) => [
    ask('POST', all, { namespace: n }),
    ask('GET', `${all}/${n}/objects`),
    ask('POST', `${all}/${n}/objects`, { name: 'o', properties: { size } }),
    ask('POST', `${all}/${n}/objects`, { name: 'o' }),
    ask('POST', `${all}/${n}/objects`, { name: 'p', description: 'p', required: [] }),
    ask('GET', `${all}/${n}/objects?sort_key=name&sort_dir=asc`),
    ask('PUT', `${all}/${n}/objects/o`, { name: 'q', required: ['size'], properties: { size } }),
    ask('PUT', `${all}/${n}/objects/q`, { name: 'p' }),
    ask('GET', `${all}/${n}/objects/o`),
    ask('GET', `${all}/${n}/objects/q`),
    ask('POST', `${all}/${n}/objects`, {}),
    ask('POST', `${all}/${n}/objects`, { name: 5 }),
    ask('POST', `${all}/${n}/objects`, { name: 'x'.repeat(81) }),
    ask('POST', `${all}/${n}/objects`, { name: 'x', self: 'y' }),
    ask('POST', `${all}/${n}/objects`, { name: 'x', required: ['a', 'a'] }),
    ask('POST', `${all}/${n}/objects`, { name: 'x', properties: { p: {} } }),
    ask('POST', `${all}/none/objects`, { name: 'x' }),
    ask('DELETE', `${all}/${n}/objects/q`),
    ask('DELETE', `${all}/${n}/objects/q`),
    ask('DELETE', `${all}/${n}`),
    ask('GET', `${all}/${n}/objects`),
  ],
  'properties come, change and go': (n) => [
    ask('POST', all, { namespace: n }),
    ask('GET', `${all}/${n}/properties`),
    ask('POST', `${all}/${n}/properties`, { name: 'size', ...size }),
    ask('POST', `${all}/${n}/properties`, { name: 'size', ...size }),
    ask('POST', `${all}/${n}/properties`, { name: 'list', ...list }),
    ask('GET', `${all}/${n}/properties`),
    ask('PUT', `${all}/${n}/properties/size`, { name: 'colour', ...colour }),
    ask('PUT', `${all}/${n}/properties/colour`, { name: 'list', ...colour }),
    ask('GET', `${all}/${n}/properties/colour`),
    ask('GET', `${all}/${n}/properties/size`),
    ask('POST', `${all}/${n}/properties`, size),
    ask('POST', `${all}/${n}/properties`, { name: 'x', type: 'string' }),
    ask('POST', `${all}/${n}/properties`, { name: 'x', title: 'x', type: 'string', other: 1 }),
    ask('POST', `${all}/${n}/properties`, { name: 'x', title: 'x', type: 'array', minItems: -1 }),
    ask('POST', `${all}/${n}/properties`, { name: 'x', title: 'x', type: 'array', items: 'x' }),
    ask('DELETE', `${all}/${n}/properties/colour`),
    ask('DELETE', `${all}/${n}/properties/colour`),
    ask('DELETE', `${all}/${n}`),
  ],
  'tags come, change and go': (n) => [
    ask('POST', all, { namespace: n }),
    ask('GET', `${all}/${n}/tags`),
    ask('POST', `${all}/${n}/tags/one`),
    ask('POST', `${all}/${n}/tags/one`),
    ask('POST', `${all}/${n}/tags/${'x'.repeat(81)}`),
    ask('GET', `${all}/${n}/tags/one`),
    ask('PUT', `${all}/${n}/tags/one`, { name: 'two' }),
    ask('GET', `${all}/${n}/tags/one`),
    ask('POST', `${all}/${n}/tags`, { tags: [{ name: 'a' }, { name: 'b' }] }),
    ask('GET', `${all}/${n}/tags?sort_key=name&sort_dir=asc`),
    ask('GET', `${all}/${n}/tags?sort_key=name&sort_dir=asc&limit=1`),
    ask('GET', `${all}/${n}/tags?sort_key=name&sort_dir=asc&marker=a`),
    ask('GET', `${all}/${n}/tags?marker=none`),
    ask('POST', `${all}/${n}/tags`, { tags: [{ name: 'a' }, { name: 'a' }] }),
    ask('POST', `${all}/${n}/tags`, { tags: [{ name: 'a', x: 'a' }] }),
    ask('POST', `${all}/${n}/tags`, { tags: [] }),
    ask('GET', `${all}/${n}/tags?sort_key=name&sort_dir=asc`),
    ask('DELETE', `${all}/${n}/tags/a`),
    ask('DELETE', `${all}/${n}/tags/a`),
    ask('DELETE', `${all}/${n}`),
  ],
  'types of resources come and go': (n) => [
    ask('POST', all, { namespace: n }),
    ask('GET', `${all}/${n}/resource_types`),
    ask('POST', `${all}/${n}/resource_types`, { name: 'OS::Nova::Server', prefix: 'x:' }),
    ask('POST', `${all}/${n}/resource_types`, { name: 'OS::Nova::Server' }),
    ask('POST', `${all}/${n}/resource_types`, {}),
    ask('POST', `${all}/${n}/resource_types`, { name: 'x', prefix: 'x'.repeat(81) }),
    ask('POST', `${all}/${n}/resource_types`, { name: 'x', other: 'x' }),
    ask('POST', `${all}/${n}/resource_types`, { name: 'x', created_at: 'x' }),
    ask('GET', `${all}/${n}/resource_types`),
    ask('DELETE', `${all}/${n}/resource_types/OS::Nova::Server`),
    ask('DELETE', `${all}/${n}/resource_types/OS::Nova::Server`),
    ask('DELETE', `${all}/${n}`),
  ],
  'of what is protected nothing is deleted': (n) => [
    ask('POST', all, {
      namespace: n,
      protected: true,
      objects: [{ name: 'o' }],
      properties: { size },
      tags: [{ name: 't' }],
      resource_type_associations: [{ name: 'OS::Nova::Flavor' }],
    }),
    ...['', '/objects', '/objects/o', '/properties', '/properties/size', '/tags', '/tags/t'].map(
      (path) => ask('DELETE', `${all}/${n}${path}`),
    ),
    ask('DELETE', `${all}/${n}/resource_types/OS::Nova::Flavor`),
    ask('PUT', `${all}/${n}/objects/o`, { name: 'o', description: 'changed' }),
    ask('GET', `${all}/${n}`),
    ask('PUT', `${all}/${n}`, { namespace: n, protected: false }),
    ask('DELETE', `${all}/${n}`),
  ],
  'what there is not': () => [
    ask('GET', `${all}/none`),
    ask('DELETE', `${all}/none`),
    ask('GET', `${all}/none/objects`),
    ask('GET', `${all}/none/properties/x`),
    ask('POST', `${all}/none/tags/x`),
    ask('POST', `${all}/none/resource_types`, { name: 'x' }),
    ask('PATCH', `${all}/none`, {}),
    ask('GET', '/v2/metadefs'),
  ],
};

/**
 * Without what is as it happens to be: of properties that were made one by one Glance repeats their names, it says after a
 * client that there is nothing of a kind, and objects come in the order in which its database finds them.
 */
function withoutQuirks(told: Told): Told {
  const body = { ...(told.body as Record<string, unknown> | undefined) };
  if ('namespace' in body) {
    for (const [name, value] of Object.entries(body)) {
      if (Array.isArray(value) && value.length === 0) {
        delete body[name];
      }
    }
  }
  const objects = body['objects'] as { name: string }[] | undefined;
  objects?.sort((one, other) => (one.name < other.name ? -1 : 1));
  const properties = body['properties'] as Record<string, { name?: string }> | undefined;
  for (const [name, property] of Object.entries(properties ?? {})) {
    if (property.name === name) {
      delete property.name;
    }
  }
  return { ...told, body };
}

describe.skipIf(!hasGlance())('metadata definitions as Glance has them:', () => {
  let ours: RestClient;
  let glances: RestClient;
  beforeAll(async () => {
    const cleanUps = new CleanUps();
    const [service, glance] = await Promise.all([
      startService({ DARKROOM_PROCESSES: '1' }, cleanUps.defer),
      startGlance(cleanUps.defer),
    ]);
    ours = restClient(() => service.process.url);
    glances = restClient(() => glance.url, 'default.admin.member.reader');
    return cleanUps.run;
  });

  test.each(Object.entries(stories))('%s', async (_, story) => {
    const steps = story('N');
    const [here, there] = await Promise.all([tell(ours, steps), tell(glances, steps)]);
    expect(here.map(withoutQuirks)).toEqual(there.map(withoutQuirks));
  });

  test('all that Glance itself brings', async () => {
    const files = (await readdir(brought)).filter((file) => file.endsWith('.json')).toSorted();
    expect(files.length).toBeGreaterThan(20);
    const steps: Step[] = [];
    for (const file of files) {
      const body = JSON.parse(await readFile(join(brought, file), 'utf8')) as { namespace: string };
      const { namespace } = body;
      steps.push(ask('POST', all, body), ask('GET', `${all}/${namespace}`));
    }
    const [here, there] = await Promise.all([tell(ours, steps), tell(glances, steps)]);
    expect(here.map(withoutQuirks)).toEqual(there.map(withoutQuirks));
    expect(here.map(({ status }) => status)).toEqual(files.flatMap(() => [201, 200]));
  });
});
