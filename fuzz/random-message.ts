import { ScalarType, type DescField, type DescMessage, type JsonValue } from '@bufbuild/protobuf';
import type { Random } from '../chaos/random.ts';

/** Messages inside of messages go no deeper. */
const maxDepth = 4;

/** A message as JSON whose fields are of the right kind, and have values that nobody thought of. */
export function randomMessage(
  random: Random,
  message: DescMessage,
  ids: readonly string[],
  depth = 0,
): Record<string, JsonValue> {
  const json: Record<string, JsonValue> = {};
  const taken = new Set<string>();
  for (const field of message.fields) {
    // Of a oneof more than one would not be a message.
    if (random.chance(0.4) || (field.oneof !== undefined && taken.has(field.oneof.name))) {
      continue;
    }
    const value = randomValue(random, field, ids, depth);
    if (value !== undefined) {
      json[field.jsonName] = value;
      taken.add(field.oneof?.name ?? '');
    }
  }
  return json;
}

function randomValue(
  random: Random,
  field: DescField,
  ids: readonly string[],
  depth: number,
): JsonValue | undefined {
  switch (field.fieldKind) {
    case 'scalar':
      return randomScalar(random, field.scalar, field.name, ids);
    case 'enum':
      return random.chance(0.9)
        ? random.int(0, field.enum.values.length)
        : random.int(-9, 2 ** 31 - 1);
    case 'message':
      return randomInner(random, field.message, ids, depth);
    case 'list':
      return Array.from({ length: random.int(0, 3) }, () =>
        field.listKind === 'scalar'
          ? randomScalar(random, field.scalar, field.name, ids)
          : field.listKind === 'enum'
            ? random.int(0, field.enum.values.length)
            : (randomInner(random, field.message, ids, depth) ?? {}),
      );
    case 'map':
      return Object.fromEntries(
        Array.from({ length: random.int(0, 3) }, () => [randomText(random), randomText(random)]),
      );
  }
}

function randomInner(
  random: Random,
  message: DescMessage,
  ids: readonly string[],
  depth: number,
): JsonValue | undefined {
  switch (message.typeName) {
    case 'google.protobuf.Duration':
      return `${random.int(-5, 100_000)}.${random.int(0, 999)}s`;
    case 'google.protobuf.Timestamp':
      return new Date(random.int(0, 4e12)).toISOString();
    case 'google.protobuf.FieldMask':
      return random.pick(['name', 'name,tags', 'properties', 'id', '', 'nothing.atAll']);
    default:
      return depth < maxDepth ? randomMessage(random, message, ids, depth + 1) : undefined;
  }
}

function randomScalar(
  random: Random,
  scalar: ScalarType,
  name: string,
  ids: readonly string[],
): JsonValue {
  switch (scalar) {
    case ScalarType.BOOL:
      return random.chance(0.5);
    case ScalarType.STRING:
      return name.endsWith('id') && random.chance(0.8) ? random.pick(ids) : randomText(random);
    case ScalarType.BYTES:
      return random.bytes(random.int(0, 200)).toString('base64');
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return random.pick([
        '0',
        '1',
        '-1',
        '65536',
        '9223372036854775807',
        '-9223372036854775808',
        String(random.int(0, 1e6)),
      ]);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return random.pick(['0', '1', '18446744073709551615', String(random.int(0, 1e6))]);
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return random.pick([0, 1, 2 ** 32 - 1, random.int(0, 1e6)]);
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return random.pick([0, -1, 1e300, 'NaN', 'Infinity']);
    default:
      return random.pick([0, 1, -1, 2 ** 31 - 1, -(2 ** 31), random.int(0, 1000)]);
  }
}

const texts = [
  '',
  'a',
  'disk',
  'a\0b',
  '\u202e\u0007',
  '../../etc/passwd',
  "';--",
  '%_\\',
  '\u{10ffff}'.repeat(300),
  'http://127.0.0.1:1/',
  'file:///etc/passwd',
  '__proto__',
  'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
  '-1',
  ' ',
];

function randomText(random: Random): string {
  return random.chance(0.7)
    ? random.pick(texts)
    : random.bytes(random.int(0, 40)).toString(random.pick(['latin1', 'utf8', 'hex', 'base64']));
}
