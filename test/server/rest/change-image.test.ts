import { randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { bytesWithHoles, storeImage, type StoredImage } from './file-fixtures.ts';
import { sharedService } from './fixtures.ts';
import { patch10, patch4, patchImage, restClient } from './rest-client.ts';

const service = sharedService();
const ask = restClient(() => service().process.url);
let stored: StoredImage;
beforeAll(async () => {
  stored = await storeImage(service(), bytesWithHoles());
});

async function make(fields: object = {}): Promise<string> {
  const { body } = await ask('POST', '/v2/images', { name: 'web', os: 'debian', ...fields });
  return String(body?.['id']);
}

describe('a patch', () => {
  test('changes fields and properties, and answers the image', async () => {
    const id = await make({ tags: ['a'] });
    const { status, body } = await patchImage(ask, id, [
      { op: 'replace', path: '/name', value: null },
      { op: 'add', path: '/disk_format', value: 'raw' },
      { op: 'replace', path: '/container_format', value: 'bare' },
      { op: 'replace', path: '/tags', value: ['b', 'c', 'b'] },
      { op: 'replace', path: '/visibility', value: 'private' },
      { op: 'replace', path: '/protected', value: true },
      { op: 'replace', path: '/os_hidden', value: true },
      { op: 'replace', path: '/min_disk', value: 2 },
      { op: 'replace', path: '/min_ram', value: 4 },
      { op: 'replace', path: '/owner', value: 'default' },
      { op: 'add', path: '/os', value: 'arch' },
      { op: 'add', path: '/a~1b~0c', value: '' },
      { op: 'add', path: '/gone', value: 'soon' },
      { op: 'remove', path: '/gone' },
    ]);
    const changed = {
      name: null,
      disk_format: 'raw',
      container_format: 'bare',
      tags: ['b', 'c'],
      visibility: 'private',
      protected: true,
      os_hidden: true,
      min_disk: 2,
      min_ram: 4,
      os: 'arch',
      'a/b~c': '',
    };
    expect([status, body]).toEqual([200, expect.objectContaining(changed)]);
    expect(body).not.toHaveProperty('gone');
    expect((await ask('GET', `/v2/images/${id}`)).body).toEqual(body);
  });

  test('of the older form names its operation, and adds nothing that is there', async () => {
    const id = await make();
    const done = await patchImage(
      ask,
      id,
      [{ replace: '/name', value: 'db' }, { add: '/a', value: '1' }, { remove: '/os' }],
      patch4,
    );
    expect([done.status, done.body]).toEqual([
      200,
      expect.objectContaining({ name: 'db', a: '1' }),
    ]);
    expect(done.body).not.toHaveProperty('os');
    for (const name of ['a', 'name']) {
      const again = await patchImage(ask, id, [{ add: `/${name}`, value: '2' }], patch4);
      expect([again.status, again.body?.['message']]).toEqual([
        409,
        `/${name} is there already: replace it`,
      ]);
    }
  });

  test('of nothing changes nothing', async () => {
    const id = await make();
    const before = await ask('GET', `/v2/images/${id}`);
    const { status, body } = await patchImage(ask, id, []);
    expect([status, body]).toEqual([200, before.body]);
  });

  test('of two at once neither takes back what the other has changed', async () => {
    const id = await make();
    const names = Array.from({ length: 12 }, (_, i) => `p${i}`);
    const answers = await Promise.all(
      names.map((name) => patchImage(ask, id, [{ op: 'add', path: `/${name}`, value: name }])),
    );
    expect(answers.map(({ status }) => status)).toEqual(names.map(() => 200));
    const { body } = await ask('GET', `/v2/images/${id}`);
    expect(body).toMatchObject(Object.fromEntries(names.map((name) => [name, name])));
  });

  const change = (path: string, value: unknown = 'x'): object => ({ op: 'replace', path, value });
  test.each<[string, unknown, number, string]>([
    ['an object', {}, 400, 'body must be a JSON list of operations'],
    ['a text among them', ['x'], 400, 'operation 0 must be a JSON object'],
    ['no operation', [{ path: '/name' }], 400, 'operation 0 must have an op of add, remove'],
    ['an unknown one', [{ op: 'move', path: '/name' }], 400, 'replace, not "move"'],
    ['no path', [{ op: 'remove' }], 400, 'operation 0 must have a path, such as "/name"'],
    ['a path without slash', [change('name')], 400, 'which must begin with "/"'],
    ['an empty path', [change('/')], 400, 'which must name one field'],
    ['a path into a field', [change('/tags/0')], 400, 'which must name one field'],
    ['two slashes', [change('//name')], 400, 'which must name one field'],
    ['a slash at the end', [change('/name/')], 400, 'which must name one field'],
    ['a tilde', [change('/a~b')], 400, 'must be written "~0"'],
    ['no value', [{ op: 'add', path: '/a' }], 400, 'operation 0 must have a value to add'],
    ['a number as name', [change('/name', 5)], 400, 'name must be a text or null, not a number'],
    ['a list as property', [change('/os', [])], 400, '"os" must be a text'],
    ['less than nothing', [change('/min_disk', -5)], 400, 'min_disk must be a whole number'],
    ['a good one and a bad one', [change('/name'), change('/min_ram', '1')], 400, 'min_ram'],
    ['the id', [change('/id')], 403, '"id" is set by the service, and is read-only'],
    ['the checksum', [change('/checksum')], 403, '"checksum" is set by the service'],
    ['the status', [change('/status')], 403, '"status" is set by the service'],
    ['the size', [change('/size', 1)], 403, '"size" is set by the service'],
    ['its task', [change('/os_darkroom_task')], 403, '"os_darkroom_task" is set by the service'],
    ['what Glance keeps', [change('/os_glance_a')], 403, '"os_glance_a" is a reserved name'],
    ['where it lies', [change('/locations', [])], 403, '"locations" is a reserved name'],
    ['a part of that', [change('/locations/-', {})], 403, '"locations" is a reserved name'],
    ['the owner', [change('/owner', 'other')], 403, '/owner is not changed'],
    ['no owner', [change('/owner', null)], 403, '/owner is not changed'],
    ['a field that goes', [{ op: 'remove', path: '/name' }], 403, 'is not removed'],
    ['a property that is not there', [change('/none')], 409, '/none is no property of the image'],
    ['its end', [{ op: 'remove', path: '/none' }], 409, '/none is no property of the image'],
    [
      'too many tags',
      [
        change(
          '/tags',
          Array.from({ length: 129 }, (_, i) => `t${i}`),
        ),
      ],
      413,
      'at most 128 entries',
    ],
    [
      'too many properties',
      Array.from({ length: 128 }, (_, i) => ({ op: 'add', path: `/p${i}`, value: '' })),
      413,
      'at most 128 properties',
    ],
  ])('with %s is refused, and changes nothing', async (_, body, status, words) => {
    const id = await make();
    const before = await ask('GET', `/v2/images/${id}`);
    const answer = await ask('PATCH', `/v2/images/${id}`, body, { 'content-type': patch10 });
    expect([answer.status, answer.body]).toEqual([
      status,
      expect.objectContaining({
        message: expect.stringContaining(words) as string,
        reason: 'FIELD_INVALID',
      }),
    ]);
    expect((await ask('GET', `/v2/images/${id}`)).body).toEqual(before.body);
  });

  test('that is sent as something else is told what it should be', async () => {
    const id = await make();
    for (const type of ['application/json', 'application/json-patch+json']) {
      const { status, headers, body } = await patchImage(ask, id, [], type);
      expect([status, body?.['reason']]).toEqual([415, 'UNSUPPORTED']);
      expect(headers.get('accept-patch')).toBe(`${patch4}, ${patch10}`);
    }
  });

  test('of the format of an image that has its bytes is refused', async () => {
    const { status, body } = await patchImage(ask, stored.id, [change('/disk_format', 'iso')]);
    expect([status, body?.['reason']]).toEqual([403, 'IMAGE_STATE_INVALID']);
  });

  test('of what is not there is told so', async () => {
    expect((await patchImage(ask, randomUUID(), [])).status).toBe(404);
    expect((await patchImage(ask, 'x', [])).status).toBe(404);
  });
});

describe('a tag', () => {
  test('is put, put again, and removed', async () => {
    const id = await make();
    const path = `/v2/images/${id}/tags/a%2Fb%20ü`;
    const tags = async (): Promise<unknown> =>
      (await ask('GET', `/v2/images/${id}`)).body?.['tags'];
    for (const _ of ['once', 'twice']) {
      expect((await ask('PUT', path)).status).toBe(204);
      expect(await tags()).toEqual(['a/b ü']);
    }
    expect((await ask('DELETE', path)).status).toBe(204);
    expect(await tags()).toEqual([]);
    const again = await ask('DELETE', path);
    expect([again.status, again.body?.['message']]).toEqual([
      404,
      `Image ${id} has no tag "a/b ü".`,
    ]);
  });

  test('that is too long, or one too many, is refused', async () => {
    const id = await make({ tags: Array.from({ length: 128 }, (_, i) => `t${i}`) });
    expect((await ask('PUT', `/v2/images/${id}/tags/${'x'.repeat(256)}`)).status).toBe(413);
    expect((await ask('PUT', `/v2/images/${id}/tags/t0`)).status).toBe(204);
    const other = await make();
    const long = await ask('PUT', `/v2/images/${other}/tags/${'x'.repeat(256)}`);
    expect([long.status, long.body?.['message']]).toEqual([
      400,
      expect.stringContaining('at most 255 characters'),
    ]);
    expect((await ask('PUT', `/v2/images/${randomUUID()}/tags/a`)).status).toBe(404);
  });
});

describe('a deletion', () => {
  test('ends the image and its task, and a second one finds nothing', async () => {
    const { body } = await ask('POST', '/v2/images', {});
    const path = String(body?.['self']);
    const gone = await ask('DELETE', path);
    expect([gone.status, gone.body]).toEqual([204, undefined]);
    for (const method of ['DELETE', 'GET']) {
      const again = await ask(method, path);
      expect([again.status, again.body?.['reason'], again.body?.['message']]).toEqual([
        404,
        'IMAGE_NOT_FOUND',
        expect.stringContaining('was deleted at'),
      ]);
    }
    expect((await patchImage(ask, body?.['id'], [])).status).toBe(404);
    expect((await ask('PUT', `${path}/tags/a`)).status).toBe(404);
    const task = await ask('GET', String(body?.['os_darkroom_task']));
    expect(task.body?.['message']).toContain('IMAGE_DELETED');
  });

  test('of a protected image is refused', async () => {
    const id = await make({ protected: true });
    const refused = await ask('DELETE', `/v2/images/${id}`);
    expect([refused.status, refused.body?.['reason']]).toEqual([403, 'IMAGE_PROTECTED']);
    await patchImage(ask, id, [{ op: 'replace', path: '/protected', value: false }]);
    expect((await ask('DELETE', `/v2/images/${id}`)).status).toBe(204);
  });
});

describe('deactivation', () => {
  const act = (id: string, action: string): Promise<number> =>
    ask('POST', `/v2/images/${id}/actions/${action}`).then(({ status }) => status);
  const status = async (): Promise<unknown> =>
    (await ask('GET', `/v2/images/${stored.id}`)).body?.['status'];

  test('and reactivation of an image are done once, and are the same twice', async () => {
    for (const [action, expected] of [
      ['deactivate', 'deactivated'],
      ['reactivate', 'active'],
    ] as const) {
      for (const _ of ['once', 'twice']) {
        expect([await act(stored.id, action), await status()]).toEqual([204, expected]);
      }
    }
  });

  test('of an image without bytes is refused', async () => {
    const id = await make();
    expect(await act(id, 'deactivate')).toBe(403);
    expect(await act(id, 'reactivate')).toBe(403);
    expect(await act(randomUUID(), 'deactivate')).toBe(404);
  });
});
