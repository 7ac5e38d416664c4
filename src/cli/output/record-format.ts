import {
  toJson,
  toJsonString,
  type DescField,
  type DescMessage,
  type JsonValue,
  type MessageShape,
} from '@bufbuild/protobuf';
import { UsageError } from '../usage-error.ts';

/** How records are written for programs: as JSON, or each by a template. Undefined for people. */
export type RecordFormat =
  { readonly as: 'json' } | { readonly as: 'template'; readonly parts: readonly TemplatePart[] };

/** A text as it is, or the path of a field. */
type TemplatePart = string | readonly string[];

/** What `--json` and `--format` say. @throws UsageError */
export function recordFormat(
  schema: DescMessage,
  options: { readonly json?: boolean | undefined; readonly format?: string | undefined },
): RecordFormat | undefined {
  if (options.json === true) {
    if (options.format !== undefined) {
      throw new UsageError('give --json or --format, and not both');
    }
    return { as: 'json' };
  }
  return options.format === undefined
    ? undefined
    : { as: 'template', parts: templateParts(schema, options.format) };
}

/**
 * A message as the contract's JSON, with each enum by its name and each 64-bit number as a string. Unlike in answers of the
 * service, what is 0 or empty is there too: scripts need not ask.
 */
export function jsonOf<Schema extends DescMessage>(
  schema: Schema,
  message: MessageShape<Schema>,
): JsonValue {
  return toJson(schema, message, { alwaysEmitImplicit: true });
}

/** A message as JSON on one line. */
export function jsonLine<Schema extends DescMessage>(
  schema: Schema,
  message: MessageShape<Schema>,
): string {
  return `${toJsonString(schema, message, { alwaysEmitImplicit: true })}\n`;
}

/** One record: JSON on several lines, or the template and a line's end. */
export function recordText<Schema extends DescMessage>(
  format: RecordFormat,
  schema: Schema,
  message: MessageShape<Schema>,
): string {
  const json = jsonOf(schema, message);
  return format.as === 'json'
    ? `${JSON.stringify(json, undefined, 2)}\n`
    : `${filled(format.parts, json)}\n`;
}

/** Several records: one array of JSON, or a line for each. */
export function recordsText<Schema extends DescMessage>(
  format: RecordFormat,
  schema: Schema,
  messages: readonly MessageShape<Schema>[],
): string {
  return format.as === 'json'
    ? `${JSON.stringify(
        messages.map((message) => jsonOf(schema, message)),
        undefined,
        2,
      )}\n`
    : messages.map((message) => recordText(format, schema, message)).join('');
}

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', '\\': '\\' };

/** Fields are named in braces, `{id}`, `{progress.bytesDone}`, `{properties.os}`; `\t`, `\n` and `\\` mean what they mean in C. */
function templateParts(schema: DescMessage, template: string): TemplatePart[] {
  return template
    .split(/(\{[^{}]*\})/)
    .filter((part) => part !== '')
    .map((part) => {
      if (!part.startsWith('{')) {
        return part.replaceAll(/\\([nt\\])/g, (_, letter: string) => escapes[letter] ?? letter);
      }
      const path = part.slice(1, -1).trim().split('.');
      assertPath(schema, path);
      return path;
    });
}

function assertPath(schema: DescMessage, path: readonly string[]): void {
  let at: DescMessage | undefined = schema;
  for (const [index, name] of path.entries()) {
    const field: DescField | undefined = at?.fields.find(
      (candidate) => candidate.jsonName === name,
    );
    if (field === undefined) {
      const known = at?.fields.map(({ jsonName }) => jsonName).join(', ');
      throw new UsageError(
        known === undefined
          ? `--format: ${path.slice(0, index).join('.')} has no parts, so there is no {${path.join('.')}}`
          : `--format: there is no {${path.join('.')}}; there are ${known}`,
      );
    }
    if (field.fieldKind === 'map') {
      return;
    }
    at = field.fieldKind === 'message' ? messageWithParts(field.message) : undefined;
  }
}

/** Times and lengths of time are texts in JSON. */
function messageWithParts(message: DescMessage): DescMessage | undefined {
  return message.typeName.startsWith('google.protobuf.') ? undefined : message;
}

function filled(parts: readonly TemplatePart[], json: JsonValue): string {
  return parts.map((part) => (typeof part === 'string' ? part : textAt(json, part))).join('');
}

/** What is not set is empty. */
function textAt(json: JsonValue, path: readonly string[]): string {
  let at: JsonValue | undefined = json;
  for (const [index, name] of path.entries()) {
    if (typeof at !== 'object' || at === null || Array.isArray(at)) {
      return '';
    }
    // The keys of a map may have dots in them.
    const rest = path.slice(index).join('.');
    if (Object.hasOwn(at, rest)) {
      at = at[rest];
      break;
    }
    at = Object.hasOwn(at, name) ? at[name] : undefined;
  }
  return at === undefined || at === null
    ? ''
    : typeof at === 'object'
      ? JSON.stringify(at)
      : String(at);
}
