import type { MetadefEntry, MetadefKind } from '../../../records/metadef-entry.ts';
import type { MetadefNamespace } from '../../../records/metadef-namespace.ts';
import type { ResourceType } from '../../../metadefs/metadef-entries.ts';
import type { WholeNamespace } from '../../../metadefs/metadef-requests.ts';
import { timeOf } from '../task-view.ts';

/** Where namespaces are made and listed. */
export const namespacesPath = '/v2/metadefs/namespaces';

/** Where a namespace is. */
export function namespacePath(namespace: string): string {
  return `${namespacesPath}/${encodeURIComponent(namespace).replaceAll('%3A', ':')}`;
}

type Times = Pick<MetadefEntry, 'createTime' | 'updateTime'>;

const times = ({ createTime, updateTime }: Readonly<Times>): object => ({
  created_at: timeOf(createTime),
  updated_at: timeOf(updateTime),
});

/** The fields of a namespace, without what it has. What is not set is left out, as in Glance. */
export function namespaceView(namespace: Readonly<MetadefNamespace>): object {
  return {
    namespace: namespace.namespace,
    display_name: namespace.displayName ?? undefined,
    description: namespace.description ?? undefined,
    visibility: namespace.visibility.toLowerCase(),
    protected: namespace.protected,
    owner: namespace.projectId,
    ...times(namespace),
    self: namespacePath(namespace.namespace),
    schema: '/v2/schemas/metadefs/namespace',
  };
}

/**
 * A namespace with what it has.
 *
 * @param resourceType whose properties they are to be: their names then begin as such a resource has them.
 */
export function wholeNamespaceView(whole: WholeNamespace, resourceType?: string): object {
  return viewOf(whole, resourceType, (entry) => wholeObjectView(whole.namespace.namespace, entry));
}

/** The same of one that was just made, whose objects are told as they were sent. */
export function madeNamespaceView(whole: WholeNamespace): object {
  const asSent = { ...whole, entries: whole.entries.toReversed() };
  return viewOf(asSent, undefined, ({ name, content }) => ({ name, ...content }));
}

function viewOf(
  { namespace, entries }: WholeNamespace,
  resourceType: string | undefined,
  viewOfObject: (entry: Readonly<MetadefEntry>) => ObjectView,
): object {
  const ofKind = (kind: MetadefKind): readonly Readonly<MetadefEntry>[] =>
    entries.filter((entry) => entry.kind === kind);
  const associations = oldestFirst(ofKind('RESOURCE_TYPE'));
  const prefix = prefixOf(associations.find(({ name }) => name === resourceType));
  const someOf = (views: readonly object[]): readonly object[] | undefined =>
    views.length === 0 ? undefined : views;
  const properties = ofKind('PROPERTY');
  return {
    ...namespaceView(namespace),
    resource_type_associations: someOf(associations.map(associationView)),
    properties: properties.length === 0 ? undefined : propertiesView(properties, prefix),
    objects: someOf(
      oldestFirst(ofKind('OBJECT')).map((entry) => prefixed(viewOfObject(entry), prefix)),
    ),
    tags: someOf(ofKind('TAG').map(tagName)),
  };
}

/** As Glance has objects and types of resources. */
export function oldestFirst(
  entries: readonly Readonly<MetadefEntry>[],
): readonly Readonly<MetadefEntry>[] {
  return entries.toSorted((one, other) => (one.id < other.id ? -1 : 1));
}

/** What the names of properties begin with where they are those of a resource; empty for nothing. */
export function prefixOf(association: Readonly<MetadefEntry> | undefined): string {
  const prefix: unknown = association?.content['prefix'];
  return typeof prefix === 'string' ? prefix : '';
}

/** Properties by their names, and in the order of these, as Glance has them. */
export function propertiesView(
  properties: readonly Readonly<MetadefEntry>[],
  prefix = '',
): Readonly<Record<string, object>> {
  const byName = properties.toSorted((one, other) => (one.name < other.name ? -1 : 1));
  return Object.fromEntries(byName.map(({ name, content }) => [`${prefix}${name}`, content]));
}

/** A property by itself. */
export function propertyView({ name, content }: Readonly<MetadefEntry>): object {
  return { name, ...content };
}

type ObjectView = Readonly<Record<string, unknown>>;

/** An object with what it requires and has, though nothing was said of that. */
export function wholeObjectView(namespace: string, entry: Readonly<MetadefEntry>): ObjectView {
  return { required: [], properties: {}, ...objectView(namespace, entry) };
}

/** An object of a namespace, as it was sent. */
export function objectView(namespace: string, entry: Readonly<MetadefEntry>): ObjectView {
  return {
    name: entry.name,
    ...entry.content,
    ...times(entry),
    self: `${namespacePath(namespace)}/objects/${encodeURIComponent(entry.name)}`,
    schema: '/v2/schemas/metadefs/object',
  };
}

function prefixed(view: ObjectView, prefix: string): ObjectView {
  const { required, properties } = view as { required?: unknown; properties?: unknown };
  if (prefix === '' || typeof properties !== 'object' || properties === null) {
    return view;
  }
  return {
    ...view,
    properties: Object.fromEntries(
      Object.entries(properties).map(([name, value]) => [`${prefix}${name}`, value]),
    ),
    ...(Array.isArray(required) && {
      required: required.map((name) => `${prefix}${String(name)}`),
    }),
  };
}

/** A tag by itself. */
export function tagView(entry: Readonly<MetadefEntry>): object {
  return { name: entry.name, ...times(entry) };
}

/** A tag among others. */
export function tagName({ name }: Readonly<Pick<MetadefEntry, 'name'>>): object {
  return { name };
}

/** A type of resources that a namespace is meant for. */
export function associationView(entry: Readonly<MetadefEntry>): object {
  return { name: entry.name, ...entry.content, ...times(entry) };
}

/** A type of resources that some namespace is meant for. */
export function resourceTypeView({ name, ...rest }: ResourceType): object {
  return { name, ...times(rest) };
}
