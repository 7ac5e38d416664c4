import { validate } from 'uuid';
import type { FieldChecks } from '../../domain/field-checks.ts';
import { quoted } from '../../domain/quoted.ts';
import { allImages, type ImageFilter } from '../../images/image-requests.ts';
import type { ImageStanding } from '../../images/image-standing.ts';
import { memberStatuses } from '../../records/image-member.ts';
import { containerFormats, diskFormats, imageOutlooks, visibilities } from '../../records/image.ts';
import { numberSpan, timeSpan, wordsIn, type Span } from './filter-value.ts';
import { glanceStatuses } from './image-schema.ts';
import { GiB, MiB } from './image-view.ts';

/** What is wanted of the images of a list; built up parameter by parameter. */
type Wanted = { -readonly [Field in keyof ImageFilter]: ImageFilter[Field] };

/** Takes one parameter's value. */
type Reader = (wanted: Wanted, value: string, checks: FieldChecks) => void;

const standings: Readonly<Partial<Record<string, ImageStanding>>> = {
  queued: 'QUEUED',
  saving: 'SAVING',
  uploading: 'UPLOADING',
  importing: 'IMPORTING',
  active: 'ACTIVE',
  deactivated: 'DEACTIVATED',
};

const readers: Readonly<Record<string, Reader>> = {
  id(wanted, value, checks) {
    // What is no id is none of any image's.
    const ids = wordsIn(checks, 'id', value).filter((id) => validate(id));
    const isNobodys = ids.length === 0 || wanted.ids.includes(nobodysId);
    wanted.ids = isNobodys ? [nobodysId] : ids;
  },
  name(wanted, value, checks) {
    wanted.names = wordsIn(checks, 'name', value);
  },
  status(wanted, value, checks) {
    const words = wordsIn(checks, 'status', value);
    words.forEach((word) => checks.oneOf('status', word, glanceStatuses));
    wanted.standings = words.flatMap((word) => standings[word] ?? []);
  },
  disk_format(wanted, value, checks) {
    wanted.diskFormats = ours(
      checks,
      'disk_format',
      wordsIn(checks, 'disk_format', value),
      diskFormats,
    );
  },
  container_format(wanted, value, checks) {
    const words = wordsIn(checks, 'container_format', value);
    wanted.containerFormats = ours(checks, 'container_format', words, containerFormats);
  },
  visibility(wanted, value, checks) {
    wanted.visibilities =
      value === 'all' ? visibilities : ours(checks, 'visibility', [value], visibilities);
  },
  member_status(wanted, value, checks) {
    wanted.memberStatuses =
      value === 'all' ? memberStatuses : ours(checks, 'member_status', [value], memberStatuses);
  },
  owner(wanted, value) {
    wanted.projectId = value;
  },
  tag(wanted, value) {
    wanted.tags = [...new Set([...wanted.tags, value.trim()])];
  },
  os_hidden(wanted, value, checks) {
    wanted.hidden = yesOrNo(checks, 'os_hidden', value);
  },
  protected(wanted, value, checks) {
    wanted.protected = yesOrNo(checks, 'protected', value);
  },
  os_darkroom_outlook(wanted, value, checks) {
    wanted.outlooks = ours(checks, 'os_darkroom_outlook', [value], imageOutlooks);
  },
  os_hash_value(wanted, value) {
    wanted.sha256 = value.toLowerCase();
  },
  size_min(wanted, value, checks) {
    wanted.minSizeBytes = numberSpan(checks, 'size_min', value).from;
  },
  size_max(wanted, value, checks) {
    wanted.maxSizeBytes = numberSpan(checks, 'size_max', value).from;
  },
  size(wanted, value, checks) {
    const { from, until, isWanted } = numberSpan(checks, 'size', value);
    if (!isWanted) {
      checks.add('size', noOthers);
    }
    wanted.minSizeBytes = from ?? wanted.minSizeBytes;
    wanted.maxSizeBytes = until === undefined ? wanted.maxSizeBytes : until - 1;
  },
  min_disk(wanted, value, checks) {
    wanted.minDiskBytes = both(wanted.minDiskBytes, bytesIn(checks, 'min_disk', value, GiB));
  },
  min_ram(wanted, value, checks) {
    wanted.minRamBytes = both(wanted.minRamBytes, bytesIn(checks, 'min_ram', value, MiB));
  },
  checksum(wanted) {
    // No image has one.
    wanted.ids = [nobodysId];
  },
  created_at(wanted, value, checks) {
    const span = timeSpan(checks, 'created_at', value);
    if (!span.isWanted) {
      wanted.createdOutside = outside(span);
      return;
    }
    wanted.createdAfter = later(wanted.createdAfter, span.from);
    wanted.createdBefore = earlier(wanted.createdBefore, span.until);
  },
  updated_at(wanted, value, checks) {
    const span = timeSpan(checks, 'updated_at', value);
    if (!span.isWanted) {
      wanted.updatedOutside = outside(span);
      return;
    }
    wanted.updatedAfter = later(wanted.updatedAfter, span.from);
    wanted.updatedBefore = earlier(wanted.updatedBefore, span.until);
  },
};

/** Fields of an image by which lists are not filtered: not taken for properties of the same name. */
const unfiltered = new Set([
  'changes-since',
  'direct_url',
  'file',
  'locations',
  'os_hash_algo',
  'schema',
  'self',
  'stores',
  'tags',
  'virtual_size',
]);

/** What an amount is told for that is compared by neq. */
const noOthers = 'cannot be compared by neq: ask for what is below, and for what is above';

/** No image has it (RFC 9562, section 5.9). */
const nobodysId = '00000000-0000-0000-0000-000000000000';

/**
 * The filter of a list of images. What is no field of images is one of their properties.
 *
 * @param parameters names and values.
 */
export function imageFilter(
  checks: FieldChecks,
  parameters: readonly (readonly [string, string])[],
): ImageFilter {
  const wanted: Wanted = { ...allImages };
  const properties: [string, string][] = [];
  for (const [name, value] of parameters) {
    const reader = Object.hasOwn(readers, name) ? readers[name] : undefined;
    if (reader !== undefined) {
      reader(wanted, value, checks);
    } else if (unfiltered.has(name)) {
      checks.add(
        quoted(name),
        `is no filter of this list; there are ${Object.keys(readers).join(', ')}, and properties`,
      );
    } else {
      properties.push([name, value]);
    }
  }
  return { ...wanted, properties: Object.fromEntries(properties) };
}

/** Glance's words are ours, in lower case. */
function ours(
  checks: FieldChecks,
  field: string,
  words: readonly string[],
  allowed: readonly string[],
): readonly string[] {
  const lowerCase = allowed.map((word) => word.toLowerCase());
  return words.map((word) => checks.oneOf(field, word, lowerCase)?.toUpperCase() ?? '');
}

function yesOrNo(checks: FieldChecks, field: string, value: string): boolean {
  return checks.oneOf(field, value.toLowerCase(), ['true', 'false']) === 'true';
}

/** A span of what is told in whole units, rounded up, in bytes. */
function bytesIn(
  checks: FieldChecks,
  field: string,
  value: string,
  unit: number,
): readonly [number, number] {
  const { from = 0, until, isWanted } = numberSpan(checks, field, value);
  if (!isWanted) {
    checks.add(field, noOthers);
  }
  const firstOf = (units: number): number =>
    Math.min((units - 1) * unit + 1, Number.MAX_SAFE_INTEGER);
  return [
    Math.max(firstOf(from), 0),
    until === undefined ? Number.MAX_SAFE_INTEGER : firstOf(until),
  ];
}

function both(
  one: readonly [number, number] = [0, Number.MAX_SAFE_INTEGER],
  other: readonly [number, number],
): readonly [number, number] {
  return [Math.max(one[0], other[0]), Math.min(one[1], other[1])];
}

function outside({ from = 0, until = 0 }: Span): readonly [Date, Date] {
  return [new Date(from), new Date(until)];
}

function later(one: Date | undefined, other: number | undefined): Date | undefined {
  return other === undefined || (one !== undefined && one.getTime() > other)
    ? one
    : new Date(other);
}

function earlier(one: Date | undefined, other: number | undefined): Date | undefined {
  return other === undefined || (one !== undefined && one.getTime() < other)
    ? one
    : new Date(other);
}
