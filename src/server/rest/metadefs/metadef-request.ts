import type { DarkroomError } from '../../../domain/darkroom-error.ts';
import { FieldChecks } from '../../../domain/field-checks.ts';
import { quoted } from '../../../domain/quoted.ts';
import type { MetadefEntry, MetadefKind } from '../../../records/metadef-entry.ts';
import {
  namespaceSortKeys,
  type EntryFields,
  type ListNamespacesRequest,
  type NamespaceFields,
} from '../../../metadefs/metadef-requests.ts';
import { refusedField } from '../rest-error.ts';
import { checkBySchema } from './check-by-schema.ts';
import {
  namespaceSchema,
  objectSchema,
  propertySchema,
  resourceTypeSchema,
  tagListSchema,
  tagSchema,
  type NamedSchema,
} from './metadef-schemas.ts';

type Fields = Readonly<Record<string, unknown>>;

/** What the service alone sets. */
const setByService = ['self', 'schema', 'created_at', 'updated_at'];

const schemas: Readonly<Record<MetadefKind, NamedSchema>> = {
  OBJECT: objectSchema,
  PROPERTY: propertySchema,
  TAG: tagSchema,
  RESOURCE_TYPE: resourceTypeSchema,
};

/**
 * The definition that a body states.
 *
 * @throws RestError 403 for a field that the service sets; DarkroomError FIELD_INVALID for what is none by its schema.
 */
export function entryIn(kind: MetadefKind, body: unknown): EntryFields {
  return entryOf(kind, checkedBody(schemas[kind], body));
}

/** The namespace that a body states, with all that it is to have. @throws as `entryIn`. */
export function namespaceIn(body: unknown): {
  readonly fields: NamespaceFields;
  readonly entries: readonly EntryFields[];
} {
  const stated = checkedBody(namespaceSchema, body);
  const textOf = (name: string): string | undefined => {
    const value = stated[name];
    return typeof value === 'string' ? value : undefined;
  };
  const listOf = (name: string): readonly Fields[] => (stated[name] ?? []) as readonly Fields[];
  const properties = Object.entries(
    (stated['properties'] ?? {}) as Readonly<Record<string, Fields>>,
  );
  return {
    fields: {
      namespace: textOf('namespace') ?? '',
      displayName: textOf('display_name') ?? null,
      description: textOf('description') ?? null,
      visibility: textOf('visibility')?.toUpperCase(),
      protected: stated['protected'] === true,
      projectId: textOf('owner') ?? '',
    },
    entries: [
      ...listOf('resource_type_associations').map((one) => entryOf('RESOURCE_TYPE', one)),
      ...listOf('objects').map((one) => entryOf('OBJECT', one)),
      ...listOf('tags').map((one) => entryOf('TAG', one)),
      ...properties.map(([name, content]) => entryOf('PROPERTY', { ...content, name })),
    ],
  };
}

/** The names of the tags that a body states. @throws as `entryIn`. */
export function tagsIn(body: unknown): readonly string[] {
  const { tags = [] } = checkedBody(tagListSchema, body) as {
    readonly tags?: readonly { readonly name: string }[];
  };
  return tags.map(({ name }) => name);
}

function entryOf(kind: MetadefKind, { name, ...content }: Fields): EntryFields {
  return { kind, name: String(name), content: withTextDefaults(content) as Fields };
}

/** A number that is a default is told as a text, as in Glance: consoles put it into a form. */
function withTextDefaults(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(withTextDefaults);
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  return Object.fromEntries(
    Object.entries(value).map(([name, part]: [string, unknown]) => [
      name,
      name === 'default' && typeof part === 'number' ? String(part) : withTextDefaults(part),
    ]),
  );
}

function checkedBody(schema: NamedSchema, body: unknown): Fields {
  if (typeof body === 'object' && body !== null) {
    const wrong = setByService.find(
      (name) => Object.hasOwn(body, name) && Object.hasOwn(schema.properties, name),
    );
    if (wrong !== undefined) {
      throw refusedField(403, wrong, 'is set by the service, and is read-only');
    }
  }
  const checks = new FieldChecks();
  checkBySchema(checks, '', body, { ...schema, type: 'object' });
  checks.settle({});
  return body as Fields;
}

const defaultLimit = 25;
const maxLimit = 1000;

/** Reads the query of a list of namespaces. @throws DarkroomError FIELD_INVALID */
export function namespaceListRequest(query: URLSearchParams): ListNamespacesRequest {
  const checks = new FieldChecks();
  const visibility = query.get('visibility');
  if (visibility !== null) {
    checks.oneOf('visibility', visibility, ['public', 'private']);
  }
  const sortBy = checks.oneOf('sort_key', query.get('sort_key') ?? 'created_at', namespaceSortKeys);
  const direction = directionIn(checks, query);
  const limit = limitIn(checks, query) ?? defaultLimit;
  const resourceTypes = (query.get('resource_types') ?? '')
    .split(',')
    .filter((name) => name !== '');
  return {
    ...checks.settle({ sortBy, direction }),
    visibility: visibility?.toUpperCase(),
    resourceTypes,
    limit: Math.min(limit, maxLimit),
    after: query.get('marker') ?? undefined,
  };
}

/**
 * The part of a namespace's definitions that a list is asked for.
 *
 * @param all of a kind, the newest first.
 * @param usualDirection where the query has none.
 * @param notFound the error for a marker that is none of them.
 * @throws DarkroomError FIELD_INVALID, `notFound`
 */
export function pageOfEntries(
  query: URLSearchParams,
  all: readonly Readonly<MetadefEntry>[],
  usualDirection: 'asc' | 'desc',
  notFound: (marker: string) => DarkroomError,
): readonly Readonly<MetadefEntry>[] {
  const checks = new FieldChecks();
  const sortBy = checks.oneOf('sort_key', query.get('sort_key') ?? 'created_at', [
    'created_at',
    'updated_at',
    'name',
  ]);
  const direction = directionIn(checks, query, usualDirection);
  const limit = limitIn(checks, query);
  const marker = query.get('marker');
  const sign = direction === 'asc' ? 1 : -1;
  const keyOf = (entry: Readonly<MetadefEntry>): string =>
    sortBy === 'name' ? entry.name : sortBy === 'updated_at' ? entry.updateTime.toISOString() : '';
  const sorted = all.toSorted((one, other) =>
    keyOf(one) === keyOf(other)
      ? sign * (one.id < other.id ? -1 : 1)
      : sign * (keyOf(one) < keyOf(other) ? -1 : 1),
  );
  const before = marker === null ? -1 : sorted.findIndex(({ name }) => name === marker);
  checks.settle({});
  if (marker !== null && before === -1) {
    throw notFound(marker);
  }
  return sorted.slice(before + 1, limit === undefined ? undefined : before + 1 + limit);
}

function directionIn(
  checks: FieldChecks,
  query: URLSearchParams,
  usual: 'asc' | 'desc' = 'desc',
): 'asc' | 'desc' | undefined {
  return checks.oneOf('sort_dir', query.get('sort_dir') ?? usual, ['asc', 'desc']);
}

function limitIn(checks: FieldChecks, query: URLSearchParams): number | undefined {
  const limit = query.get('limit');
  if (limit === null) {
    return undefined;
  }
  if (!/^\d{1,15}$/.test(limit)) {
    checks.add('limit', `must be a whole number of 0 or more, not ${quoted(limit)}`);
  }
  return Number(limit);
}
