import { collectionSchema } from '../collection-schema.ts';

/** What a JSON schema of metadata definitions says, of all that such schemas can say. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maxLength?: number;
  readonly format?: string;
  readonly default?: unknown;
  readonly readOnly?: boolean;
  readonly uniqueItems?: boolean;
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly additionalProperties?: JsonSchema | false;
  readonly required?: readonly string[];
}

/** A schema as it is told. */
export interface NamedSchema extends JsonSchema {
  readonly name: string;
  readonly properties: Readonly<Record<string, JsonSchema>>;
}

const shortText = (description: string): JsonSchema => ({
  type: 'string',
  description,
  maxLength: 80,
});
const count: JsonSchema = { type: 'integer', minimum: 0 };
const texts: JsonSchema = { type: 'array', items: { type: 'string' }, uniqueItems: true };
const jsonType: JsonSchema = {
  type: 'string',
  enum: ['array', 'boolean', 'integer', 'number', 'object', 'string', null],
};

const times = {
  created_at: {
    type: 'string',
    readOnly: true,
    description: 'When it was made',
    format: 'date-time',
  },
  updated_at: {
    type: 'string',
    readOnly: true,
    description: 'When it last changed',
    format: 'date-time',
  },
} as const;
const links = {
  schema: { type: 'string', readOnly: true },
  self: { type: 'string', readOnly: true },
} as const;

/** What may be said of a property: a JSON schema, with what consoles need besides. */
const propertyFields: Readonly<Record<string, JsonSchema>> = {
  name: { type: 'string', maxLength: 80 },
  title: { type: 'string' },
  description: { type: 'string' },
  operators: { type: 'array', items: { type: 'string' } },
  type: jsonType,
  required: texts,
  minimum: { type: 'number' },
  maximum: { type: 'number' },
  maxLength: count,
  minLength: { ...count, default: 0 },
  pattern: { type: 'string', format: 'regex' },
  enum: { type: 'array' },
  readonly: { type: 'boolean' },
  default: {},
  items: { type: 'object', properties: { type: jsonType, enum: { type: 'array' } } },
  maxItems: count,
  minItems: { ...count, default: 0 },
  uniqueItems: { type: 'boolean', default: false },
  additionalItems: { type: 'boolean' },
};

/** Properties by their names. */
const properties: JsonSchema = {
  type: 'object',
  additionalProperties: {
    type: 'object',
    required: ['title', 'type'],
    properties: propertyFields,
  },
};

/** A property by itself. */
export const propertySchema: NamedSchema = {
  name: 'property',
  properties: propertyFields,
  additionalProperties: false,
  required: ['type', 'title', 'name'],
};

const objectFields: Readonly<Record<string, JsonSchema>> = {
  name: { type: 'string', maxLength: 80 },
  description: { type: 'string' },
  required: texts,
  properties,
};

/** An object: properties that belong together. */
export const objectSchema: NamedSchema = {
  name: 'object',
  properties: { ...objectFields, ...links, ...times },
  additionalProperties: false,
  required: ['name'],
};

/** A tag. */
export const tagSchema: NamedSchema = {
  name: 'tag',
  properties: { name: { type: 'string', maxLength: 80 }, ...times },
  additionalProperties: false,
  required: ['name'],
};

const association: Readonly<Record<string, JsonSchema>> = {
  name: shortText('The type of resources, as Heat calls it: OS::Glance::Image'),
  prefix: shortText(
    'What the names of properties begin with where they are those of such a resource',
  ),
  properties_target: shortText(
    'Which metadata of such a resource is meant, where it has several kinds',
  ),
};

/** A type of resources that a namespace is meant for. */
export const resourceTypeSchema: NamedSchema = {
  name: 'resource_type_association',
  properties: { ...association, ...times },
  additionalProperties: false,
  required: ['name'],
};

/** A namespace with what it has. */
export const namespaceSchema: NamedSchema = {
  name: 'namespace',
  properties: {
    namespace: shortText('By which it is addressed: no other has this name'),
    display_name: shortText('What people see in place of the name'),
    description: { type: 'string', description: 'What it is about', maxLength: 500 },
    visibility: {
      type: 'string',
      description: 'Whether all projects see it',
      enum: ['public', 'private'],
    },
    protected: { type: 'boolean', description: 'Whether it must not be deleted' },
    owner: { type: 'string', description: 'The project that owns it', maxLength: 255 },
    ...times,
    ...links,
    resource_type_associations: {
      type: 'array',
      items: { type: 'object', properties: association, required: ['name'] },
    },
    properties,
    objects: {
      type: 'array',
      items: { type: 'object', properties: objectFields, required: ['name'] },
    },
    tags: {
      type: 'array',
      items: {
        type: 'object',
        properties: { name: { type: 'string', maxLength: 80 } },
        required: ['name'],
      },
    },
  },
  additionalProperties: false,
  required: ['namespace'],
};

/** Tags that are sent together. */
export const tagListSchema: NamedSchema = {
  name: 'tags',
  properties: {
    tags: {
      type: 'array',
      items: {
        type: 'object',
        properties: { name: { type: 'string', maxLength: 80 } },
        required: ['name'],
        additionalProperties: false,
      },
    },
  },
  additionalProperties: false,
};

/** All schemas of metadata definitions, by the last part of the path where each is told. */
export const metadefSchemas: Readonly<Record<string, object>> = {
  namespace: namespaceSchema,
  namespaces: collectionSchema('namespaces', namespaceSchema),
  resource_type: resourceTypeSchema,
  resource_types: collectionSchema('resource_type_associations', resourceTypeSchema),
  object: objectSchema,
  objects: collectionSchema('objects', objectSchema),
  property: propertySchema,
  properties: {
    ...collectionSchema('properties', propertySchema),
    properties: {
      properties: {
        type: 'object',
        additionalProperties: { ...propertySchema, required: ['type', 'title'] },
      },
      first: { type: 'string' },
      next: { type: 'string' },
      schema: { type: 'string' },
    },
  },
  tag: tagSchema,
  tags: collectionSchema('tags', tagSchema),
};
