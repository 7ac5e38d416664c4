import type { FieldChecks } from '../../domain/field-checks.ts';
import { quoted } from '../../domain/quoted.ts';
import type { UpdateImageRequest } from '../../images/image-requests.ts';
import { containerFormats, diskFormats, visibilities } from '../../records/image.ts';
import { GiB, MiB } from './image-view.ts';
import { refusedField } from './rest-error.ts';

/** The fields of an image that clients may set, as the domain has them; only those that one has named. */
export type StatedFields = Partial<UpdateImageRequest['values']>;

/** How one of Glance's fields becomes one of the domain's. */
export interface StatedField {
  /** What UpdateImage calls it. */
  readonly path: string;
  /** Reads its value; what is wrong with it is noted. */
  readonly read: (checks: FieldChecks, value: unknown) => StatedFields;
}

/** The fields that clients may set, by Glance's names, besides the owner. */
export const statedFields: ReadonlyMap<string, StatedField> = new Map<string, StatedField>([
  [
    'name',
    {
      path: 'name',
      read: (checks, value) => ({ name: textOrNull(checks, 'name', value) ?? '' }),
    },
  ],
  [
    'disk_format',
    {
      path: 'disk_format',
      read: (checks, value) => ({
        diskFormat: wordOrNull(checks, 'disk_format', value, diskFormats) ?? undefined,
      }),
    },
  ],
  [
    'container_format',
    {
      path: 'container_format',
      read: (checks, value) => ({
        containerFormat: wordOrNull(checks, 'container_format', value, containerFormats),
      }),
    },
  ],
  [
    'visibility',
    {
      path: 'visibility',
      read: (checks, value) => ({
        visibility: wordOrNull(checks, 'visibility', value ?? '', visibilities) ?? undefined,
      }),
    },
  ],
  [
    'min_disk',
    {
      path: 'min_disk_bytes',
      read: (checks, value) => ({ minDiskBytes: inBytes(checks, 'min_disk', value, GiB) }),
    },
  ],
  [
    'min_ram',
    {
      path: 'min_ram_bytes',
      read: (checks, value) => ({ minRamBytes: inBytes(checks, 'min_ram', value, MiB) }),
    },
  ],
  [
    'protected',
    {
      path: 'protected',
      read: (checks, value) => ({ protected: yesOrNo(checks, 'protected', value) }),
    },
  ],
  [
    'os_hidden',
    { path: 'hidden', read: (checks, value) => ({ hidden: yesOrNo(checks, 'os_hidden', value) }) },
  ],
  ['tags', { path: 'tags', read: (checks, value) => ({ tags: tagsOf(checks, value) }) }],
]);

/** What the service alone sets: the fields of Glance's, and its own. */
const setByService = new Set([
  'id',
  'status',
  'size',
  'virtual_size',
  'checksum',
  'os_hash_algo',
  'os_hash_value',
  'created_at',
  'updated_at',
  'self',
  'file',
  'schema',
  'direct_url',
  'stores',
  'packed_format',
  'packed_size',
  'packed_sha256',
]);
/** Names that no property may have, for what they mean in Glance. */
const reserved = new Set(['location', 'locations', 'deleted', 'deleted_at']);

/** Whether a name is one of the service's own fields, which others may carry from image to image. */
export function isOwnField(name: string): boolean {
  return name.startsWith('os_darkroom_') || name.startsWith('packed_');
}

/** @throws RestError 403 for a field that no client may set, and for a name that no property may have. */
export function requireSettable(name: string): void {
  if (setByService.has(name) || name.startsWith('os_darkroom_')) {
    throw refusedField(403, quoted(name), 'is set by the service, and is read-only');
  }
  if (reserved.has(name) || name.startsWith('os_glance')) {
    throw refusedField(403, quoted(name), 'is a reserved name: no property may be called so');
  }
}

/** The value of a property. */
export function propertyValue(checks: FieldChecks, name: string, value: unknown): string {
  if (typeof value === 'string') {
    return value;
  }
  checks.add(quoted(name), `must be a text, as every property, not ${kindOf(value)}`);
  return '';
}

/** A text, or null; null also for what is noted as wrong. */
export function textOrNull(checks: FieldChecks, field: string, value: unknown): string | null {
  if (value === null || typeof value === 'string') {
    return value;
  }
  checks.add(field, `must be a text or null, not ${kindOf(value)}`);
  return null;
}

/** Glance's words are ours, in lower case. */
function wordOrNull(
  checks: FieldChecks,
  field: string,
  value: unknown,
  words: readonly string[],
): string | null {
  const text = textOrNull(checks, field, value);
  if (text === null) {
    return null;
  }
  const lowerCase = words.map((word) => word.toLowerCase());
  return checks.oneOf(field, text, lowerCase)?.toUpperCase() ?? null;
}

/** A whole number of a unit. */
function inBytes(checks: FieldChecks, field: string, value: unknown, unit: number): number {
  const most = Math.floor(Number.MAX_SAFE_INTEGER / unit);
  if (typeof value !== 'number') {
    checks.add(field, `must be a whole number from 0 to ${most}, not ${kindOf(value)}`);
    return 0;
  }
  checks.wholeNumber(field, value, 0, most);
  return value * unit;
}

function yesOrNo(checks: FieldChecks, field: string, value: unknown): boolean {
  if (typeof value !== 'boolean') {
    checks.add(field, `must be true or false, not ${kindOf(value)}`);
  }
  return value === true;
}

/** One that is there twice counts once, as in Glance. */
function tagsOf(checks: FieldChecks, value: unknown): string[] {
  if (!Array.isArray(value)) {
    checks.add('tags', `must be a list of texts, not ${kindOf(value)}`);
    return [];
  }
  const texts = value.filter((tag: unknown): tag is string => typeof tag === 'string');
  if (texts.length < value.length) {
    checks.add('tags', 'must be a list of texts, and of nothing else');
  }
  return [...new Set(texts)];
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}
