import { describe, expect, test } from 'vitest';
import type { Caller } from '../../src/access/caller.ts';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import { ownerOfNamespace } from '../../src/metadefs/find-metadefs.ts';
import { MetadefEntries } from '../../src/metadefs/metadef-entries.ts';
import { MetadefNamespaces } from '../../src/metadefs/metadef-namespaces.ts';
import type { EntryFields, NamespaceFields } from '../../src/metadefs/metadef-requests.ts';
import { useDatabase } from '../support/test-database.ts';

const open = useDatabase();
const ann: Caller = { projectId: 'garden', userId: 'ann', role: 'admin' };
const otto: Caller = { projectId: 'orchard', userId: 'otto', role: 'admin' };
/** An admin who acts in any project. */
const ada: Caller = { ...ann, userId: 'ada', actsAnywhere: true };

const namespaces = (): MetadefNamespaces => new MetadefNamespaces(open());
const entries = (): MetadefEntries => new MetadefEntries(open());

let made = 0;
/** The fields of a namespace with a name of its own. */
function fields(changed: Partial<NamespaceFields> = {}): NamespaceFields {
  made += 1;
  return {
    namespace: `namespace ${made}`,
    displayName: null,
    description: null,
    visibility: undefined,
    protected: false,
    projectId: '',
    ...changed,
  };
}

const tag = (name: string): EntryFields => ({ kind: 'TAG', name, content: {} });
const property = (name: string, content: EntryFields['content'] = {}): EntryFields => ({
  kind: 'PROPERTY',
  name,
  content,
});

async function reasonOf(call: Promise<unknown>): Promise<string> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(DarkroomError);
  return (error as DarkroomError).reason;
}

const listed = async (caller: Caller): Promise<string[]> => {
  const found = await namespaces().list(caller, {
    visibility: undefined,
    resourceTypes: [],
    sortBy: 'created_at',
    direction: 'asc',
    limit: 1000,
    after: undefined,
  });
  return found.map(({ namespace }) => namespace.namespace);
};

describe('of a namespace of another project', () => {
  test('nothing is seen while it is PRIVATE', async () => {
    const { namespace } = await namespaces()
      .create(ann, fields(), [tag('t'), { ...tag('OS::Hidden'), kind: 'RESOURCE_TYPE' }])
      .then((whole) => whole.namespace);
    expect(await listed(ann)).toContain(namespace);
    expect(await listed(otto)).not.toContain(namespace);
    const calls: readonly (() => Promise<unknown>)[] = [
      () => namespaces().get(otto, namespace),
      () => namespaces().update(otto, namespace, fields()),
      () => namespaces().remove(otto, namespace),
      () => entries().list(otto, namespace, 'TAG'),
      () => entries().get(otto, namespace, 'TAG', 't'),
      () => entries().add(otto, namespace, tag('u')),
      () => entries().replace(otto, namespace, 't', tag('u')),
      () => entries().setTags(otto, namespace, ['u'], false),
      () => entries().remove(otto, namespace, 'TAG', 't'),
      () => entries().removeAll(otto, namespace, 'TAG'),
    ];
    for (const call of calls) {
      expect(await reasonOf(call())).toBe('METADEF_NOT_FOUND');
    }
    expect((await namespaces().get(ann, namespace)).entries).toHaveLength(2);
    const types = async (caller: Caller): Promise<string[]> =>
      (await entries().resourceTypes(caller)).map(({ name }) => name);
    expect(await types(ann)).toContain('OS::Hidden');
    expect(await types(otto)).not.toContain('OS::Hidden');
  });

  test('all is seen and nothing is changed while it is PUBLIC', async () => {
    const { namespace } = (
      await namespaces().create(ann, fields({ visibility: 'PUBLIC' }), [tag('t')])
    ).namespace;
    expect(await listed(otto)).toContain(namespace);
    expect((await namespaces().get(otto, namespace)).entries.map(({ name }) => name)).toEqual([
      't',
    ]);
    const calls: readonly (() => Promise<unknown>)[] = [
      () => namespaces().update(otto, namespace, fields()),
      () => namespaces().remove(otto, namespace),
      () => entries().add(otto, namespace, tag('u')),
      () => entries().replace(otto, namespace, 't', tag('u')),
      () => entries().setTags(otto, namespace, ['u'], true),
      () => entries().remove(otto, namespace, 'TAG', 't'),
      () => entries().removeAll(otto, namespace, 'TAG'),
    ];
    for (const call of calls) {
      expect(await reasonOf(call())).toBe('METADEF_NOT_OWNED');
    }
    expect((await namespaces().get(ann, namespace)).entries.map(({ name }) => name)).toEqual(['t']);
  });

  test('the name is taken all the same', async () => {
    const { namespace } = (await namespaces().create(ann, fields(), [])).namespace;
    expect(await reasonOf(namespaces().create(otto, fields({ namespace }), []))).toBe(
      'METADEF_EXISTS',
    );
    const own = (await namespaces().create(otto, fields(), [])).namespace;
    expect(await reasonOf(namespaces().update(otto, own.namespace, fields({ namespace })))).toBe(
      'METADEF_EXISTS',
    );
    expect((await namespaces().get(otto, own.namespace)).namespace.id).toBe(own.id);
  });
});

test('only an admin who acts in any project makes and gives away namespaces of others', async () => {
  expect(await reasonOf(namespaces().create(ann, fields({ projectId: 'orchard' }), []))).toBe(
    'PROJECT_NOT_ALLOWED',
  );
  const { namespace } = await namespaces().create(ada, fields({ projectId: 'orchard' }), []);
  expect(namespace.projectId).toBe('orchard');
  expect(await ownerOfNamespace(open(), namespace.namespace)).toBe('orchard');
  expect(await ownerOfNamespace(open(), 'none')).toBeUndefined();
  const own = (await namespaces().create(ada, fields(), [])).namespace;
  const given = fields({ namespace: own.namespace, projectId: 'orchard' });
  expect(await reasonOf(namespaces().update(ann, own.namespace, given))).toBe(
    'PROJECT_NOT_ALLOWED',
  );
  expect((await namespaces().update(ada, own.namespace, given)).projectId).toBe('orchard');
  expect(await listed(otto)).toContain(own.namespace);
});

describe('at the same time', () => {
  test('of two who take a name one has it', async () => {
    const same = fields();
    const outcomes = await Promise.allSettled(
      [ann, otto, ann, otto].map((caller) => namespaces().create(caller, same, [tag('t')])),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const outcome of outcomes) {
      expect(outcome.status === 'fulfilled' || outcome.reason).toSatisfy(
        (one: unknown) =>
          one === true || (one instanceof DarkroomError && one.reason === 'METADEF_EXISTS'),
      );
    }
  });

  test('of two who add a definition one does', async () => {
    const { namespace } = (await namespaces().create(ann, fields(), [])).namespace;
    const outcomes = await Promise.allSettled(
      Array.from({ length: 6 }, () => entries().add(ann, namespace, tag('t'))),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(await entries().list(ann, namespace, 'TAG')).toHaveLength(1);
  });

  test('definitions come to a namespace that is deleted, or do not', async () => {
    const { namespace } = (await namespaces().create(ann, fields(), [])).namespace;
    const [added, removed] = await Promise.allSettled([
      entries().add(ann, namespace, tag('t')),
      namespaces().remove(ann, namespace),
    ]);
    expect(removed.status).toBe('fulfilled');
    if (added.status === 'rejected') {
      expect(added.reason).toMatchObject({ reason: 'METADEF_NOT_FOUND' });
    }
    const { rows } = await open().pool.query(
      'select from metadef_entries where namespace_id not in (select id from metadef_namespaces)',
    );
    expect(rows).toEqual([]);
  });
});

test('a namespace is made whole, or not at all', async () => {
  const wanted = fields();
  expect(await reasonOf(namespaces().create(ann, wanted, [tag('t'), tag('t')]))).toBe(
    'METADEF_EXISTS',
  );
  expect(await listed(ann)).not.toContain(wanted.namespace);
});

test('tags are all replaced, or none', async () => {
  const { namespace } = (await namespaces().create(ann, fields(), [tag('t')])).namespace;
  const tags = async (): Promise<string[]> =>
    (await entries().list(ann, namespace, 'TAG')).map(({ name }) => name);
  expect(await reasonOf(entries().setTags(ann, namespace, ['u', 'u'], false))).toBe(
    'METADEF_EXISTS',
  );
  expect(await tags()).toEqual(['t']);
  expect(await reasonOf(entries().setTags(ann, namespace, ['u', 't'], true))).toBe(
    'METADEF_EXISTS',
  );
  await entries().setTags(ann, namespace, ['u'], true);
  expect(await tags()).toEqual(['u', 't']);
  await entries().setTags(ann, namespace, [], false);
  expect(await tags()).toEqual(['u', 't']);
  await entries().setTags(ann, namespace, ['v'], false);
  expect(await tags()).toEqual(['v']);
});

test('what is said of a definition keeps its order', async () => {
  const content = { zz: 1, a: { y: 1, b: 2 }, title: 'ä\n' };
  const { namespace } = (await namespaces().create(ann, fields(), [property('p', content)]))
    .namespace;
  const found = await entries().get(ann, namespace, 'PROPERTY', 'p');
  expect(JSON.stringify(found.content)).toBe(JSON.stringify(content));
});

describe('is refused, and nothing is changed:', () => {
  test.each<[string, Partial<NamespaceFields>, readonly EntryFields[]]>([
    ['a namespace without a name', { namespace: '' }, []],
    ['a long name', { namespace: 'x'.repeat(81) }, []],
    ['a name with a line break', { namespace: 'a\nb' }, []],
    ['a name that is a step in paths', { namespace: '..' }, []],
    ['a name with NUL', { namespace: 'a\0b' }, []],
    ['a long description', { description: 'x'.repeat(501) }, []],
    ['another visibility', { visibility: 'SHARED' }, []],
    ['a definition without a name', {}, [tag('')]],
    ['a definition with a name that is a step in paths', {}, [tag('.')]],
    ['a text that cannot be stored', {}, [property('p', { title: 'a\0b' })]],
    ['half a character', {}, [property('p', { a: [{ '\ud800': 1 }] })]],
    ['too many definitions', {}, Array.from({ length: 1025 }, (_, i) => tag(`t${i}`))],
    [
      'definitions that are too long together',
      {},
      Array.from({ length: 33 }, (_, i) => property(`p${i}`, { title: 'x'.repeat(65_000) })),
    ],
  ])('%s', async (_, changed, all) => {
    const wanted = fields(changed);
    expect(await reasonOf(namespaces().create(ann, wanted, all))).toBe('FIELD_INVALID');
    expect(await listed(ann)).not.toContain(wanted.namespace);
  });

  test('one definition more than a namespace may have', async () => {
    const many = Array.from({ length: 1024 }, (_, i) => tag(`t${i}`));
    const { namespace } = (await namespaces().create(ann, fields(), many)).namespace;
    expect(await reasonOf(entries().add(ann, namespace, tag('more')))).toBe('FIELD_INVALID');
    expect(await entries().list(ann, namespace, 'TAG')).toHaveLength(1024);
  });

  test('one namespace more than a project may have', async () => {
    const eve = { ...ann, projectId: 'crowded' };
    await open().pool.query(`
      insert into metadef_namespaces (id, project_id, namespace, visibility, protected, create_time, update_time)
      select gen_random_uuid(), 'crowded', 'crowd ' || n, 'PRIVATE', false, now(), now() from generate_series(1, 999) as n`);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 4 }, () => namespaces().create(eve, fields(), [])),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});

test('pages of namespaces go on where the last one ended, by whatever key', async () => {
  const eve = { ...ann, projectId: 'paged' };
  for (const displayName of ['b', null, 'a', 'b', null]) {
    await namespaces().create(eve, fields({ displayName }), []);
  }
  for (const sortBy of ['created_at', 'updated_at', 'display_name', 'owner'] as const) {
    for (const direction of ['asc', 'desc'] as const) {
      const request = { visibility: 'PRIVATE', resourceTypes: [], sortBy, direction };
      const all = await namespaces().list(eve, { ...request, limit: 9, after: undefined });
      const walked: string[] = [];
      for (let after: string | undefined; ;) {
        const [row] = await namespaces().list(eve, { ...request, limit: 1, after });
        if (row === undefined) {
          break;
        }
        walked.push(row.namespace.namespace);
        after = row.namespace.namespace;
      }
      expect(walked).toEqual(all.map(({ namespace }) => namespace.namespace));
      expect(walked).toHaveLength(5);
    }
  }
});
