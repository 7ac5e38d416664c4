import { expect, test } from 'vitest';
import { sharedService } from './fixtures.ts';
import { restClient } from './rest-client.ts';

const service = sharedService();
const ask = restClient(() => service().process.url);
const namespaces = '/v2/metadefs/namespaces';

test.each<[string, string, unknown, string]>([
  ['POST', namespaces, [], 'body must be an object, not an array'],
  ['POST', namespaces, 'x', 'body must be an object, not a string'],
  ['POST', namespaces, null, 'body must be an object, not null'],
  ['POST', namespaces, {}, 'namespace must be set'],
  ['POST', namespaces, { namespace: '' }, 'namespace must not be empty'],
  ['POST', namespaces, { namespace: 'n', x: 1 }, '"x" is no field that there is here'],
  ['POST', namespaces, { namespace: 'n', tags: [{ name: 5 }] }, 'tags[0].name must be a string'],
  ['POST', namespaces, { namespace: 'n', tags: [{}] }, 'tags[0].name must be set'],
  ['POST', namespaces, { namespace: 'n', objects: [{}] }, 'objects[0].name must be set'],
  [
    'POST',
    namespaces,
    { namespace: 'n', properties: { p: { title: 'x', type: 'string', minLength: -1 } } },
    'properties."p".minLength must be 0 or more',
  ],
  [
    'POST',
    namespaces,
    { namespace: 'n', properties: { p: { title: 'x', type: 'string', minLength: 1.5 } } },
    'properties."p".minLength must be an integer',
  ],
  ['GET', `${namespaces}?limit=x`, undefined, 'limit must be a whole number'],
  ['GET', `${namespaces}?sort_key=colour`, undefined, 'sort_key must be one of created_at'],
])('%s %s with %j is refused in words', async (method, path, body, words) => {
  const answer = await ask(
    method,
    path,
    body === undefined ? undefined : JSON.stringify(body),
    body === undefined ? {} : { 'content-type': 'application/json' },
  );
  expect([answer.status, answer.body?.['message']]).toEqual([400, expect.stringContaining(words)]);
  expect((await ask('GET', `${namespaces}/n`)).status).toBe(404);
});

test('names are what they are, whatever is in them', async () => {
  for (const namespace of ['a/b', 'a b', '%41', 'ä?x=1#y', 'OS::Compute::Libvirt']) {
    const made = await ask('POST', namespaces, { namespace, tags: [{ name: 'x/y' }] });
    expect(made.status).toBe(201);
    const self = String(made.body?.['self']);
    expect((await ask('GET', self)).body?.['namespace']).toBe(namespace);
    expect((await ask('GET', `${self}/tags/x%2Fy`)).status).toBe(200);
    expect((await ask('DELETE', self)).status).toBe(204);
    expect((await ask('GET', self)).status).toBe(404);
  }
});

test('a page of objects is cut where it is asked for', async () => {
  await ask('POST', namespaces, {
    namespace: 'paged',
    objects: ['a', 'b', 'c'].map((name) => ({ name })),
  });
  const names = async (query: string): Promise<unknown> => {
    const { body } = await ask('GET', `${namespaces}/paged/objects?${query}`);
    const { objects } = body as unknown as { objects: { name: string }[] };
    return objects.map(({ name }) => name).join('');
  };
  expect(await names('')).toBe('abc');
  expect(await names('sort_dir=desc')).toBe('cba');
  expect(await names('limit=2')).toBe('ab');
  expect(await names('limit=2&marker=b')).toBe('c');
  expect(await names('sort_key=name&sort_dir=asc&marker=a&limit=1')).toBe('b');
  expect(await names('limit=0')).toBe('');
});
