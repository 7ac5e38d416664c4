import type { FieldChecks } from '../../../domain/field-checks.ts';
import { quoted } from '../../../domain/quoted.ts';
import type { JsonSchema } from './metadef-schemas.ts';

/**
 * Holds a value against the schema that clients are told, so that both are one. Of what JSON Schema can say it knows what
 * those of metadata definitions do.
 *
 * @param field the path of the value, empty for the body itself.
 */
export function checkBySchema(
  checks: FieldChecks,
  field: string,
  value: unknown,
  schema: JsonSchema,
): void {
  const place = field === '' ? 'body' : field;
  if (schema.type !== undefined && !isOfType(value, schema.type)) {
    // An enumeration of types may have null.
    if (schema.enum?.includes(value) !== true) {
      checks.add(place, `must be ${article(schema.type)}, not ${kindOf(value)}`);
    }
    return;
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    checks.add(place, `must be one of ${schema.enum.map(String).join(', ')}`);
  }
  if (typeof value === 'string' && schema.maxLength !== undefined) {
    const limits = { min: 0, max: schema.maxLength, unit: 'characters', lineBreaks: true } as const;
    checks.text(place, value, limits);
  }
  if (typeof value === 'number' && schema.minimum !== undefined && value < schema.minimum) {
    checks.add(place, `must be ${schema.minimum} or more, not ${value}`);
  }
  if (Array.isArray(value)) {
    checkItems(checks, place, value, schema);
  } else if (typeof value === 'object' && value !== null) {
    checkFields(checks, field, value as Readonly<Record<string, unknown>>, schema);
  }
}

function checkItems(
  checks: FieldChecks,
  place: string,
  items: readonly unknown[],
  schema: JsonSchema,
): void {
  const { items: ofItem } = schema;
  if (ofItem !== undefined) {
    items.forEach((item, i) => checkBySchema(checks, `${place}[${i}]`, item, ofItem));
  }
  if (schema.uniqueItems === true && new Set(items).size < items.length) {
    checks.add(place, 'must not have the same entry twice');
  }
}

function checkFields(
  checks: FieldChecks,
  field: string,
  value: Readonly<Record<string, unknown>>,
  schema: JsonSchema,
): void {
  const within = (name: string): string => (field === '' ? name : `${field}.${name}`);
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(value, name)) {
      checks.add(within(name), 'must be set');
    }
  }
  for (const [name, part] of Object.entries(value)) {
    const known =
      schema.properties !== undefined && Object.hasOwn(schema.properties, name)
        ? schema.properties[name]
        : undefined;
    const { additionalProperties: others } = schema;
    if (known !== undefined) {
      checkBySchema(checks, within(name), part, known);
    } else if (others === false) {
      checks.add(within(quoted(name)), 'is no field that there is here');
    } else if (others !== undefined) {
      checkBySchema(checks, within(quoted(name)), part, others);
    }
  }
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case 'integer':
      return Number.isSafeInteger(value);
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    default:
      return typeof value === type;
  }
}

function article(type: string): string {
  return /^[aio]/.test(type) ? `an ${type}` : `a ${type}`;
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : article(typeof value);
}
