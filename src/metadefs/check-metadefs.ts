import { FieldChecks, type TextLimits } from '../domain/field-checks.ts';
import { metadefVisibilities, type MetadefVisibility } from '../records/metadef-namespace.ts';
import type { EntryFields, NamespaceFields } from './metadef-requests.ts';

/** How many definitions a namespace may have. */
export const maxEntries = 1024;
/** How much all definitions of a namespace may take, as JSON. */
export const maxContentBytes = 2 * 1024 * 1024;

const nameLimits: TextLimits = { min: 1, max: 80, unit: 'characters', lineBreaks: false };
const descriptionLimits: TextLimits = { min: 0, max: 500, unit: 'characters', lineBreaks: true };
const textLimits: TextLimits = { min: 0, max: 65_536, unit: 'bytes', lineBreaks: true };

/** Checks the fields of a namespace. @throws DarkroomError FIELD_INVALID */
export function checkedNamespace(fields: NamespaceFields): {
  readonly visibility: MetadefVisibility;
} {
  const checks = new FieldChecks();
  checkName(checks, 'namespace', fields.namespace);
  if (fields.displayName !== null) {
    checks.text('display_name', fields.displayName, { ...nameLimits, min: 0 });
  }
  if (fields.description !== null) {
    checks.text('description', fields.description, descriptionLimits);
  }
  const visibility = checks.oneOf(
    'visibility',
    fields.visibility ?? 'PRIVATE',
    metadefVisibilities,
  );
  return checks.settle({ visibility });
}

/** Checks definitions: that each name is one, and that PostgreSQL can store all texts. @throws DarkroomError FIELD_INVALID */
export function checkEntries(entries: readonly EntryFields[]): void {
  const checks = new FieldChecks();
  if (entries.length > maxEntries) {
    checks.add('namespace', `must have at most ${maxEntries} definitions`);
  }
  for (const { name, content } of entries) {
    checkName(checks, 'name', name);
    checkTexts(checks, name, content);
  }
  checks.settle({});
}

/** Names stand in paths, where nobody keeps these two. */
function checkName(checks: FieldChecks, field: string, name: string): void {
  checks.text(field, name, nameLimits);
  if (name === '.' || name === '..') {
    checks.add(field, 'must not be . or ..');
  }
}

/** Of values as they come out of JSON. */
function checkTexts(checks: FieldChecks, field: string, value: unknown): void {
  if (typeof value === 'string') {
    checks.text(field, value, textLimits);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, part] of Object.entries(value)) {
      checks.text(field, key, textLimits);
      checkTexts(checks, field, part);
    }
  }
}
