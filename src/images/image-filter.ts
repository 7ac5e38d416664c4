import type { FieldChecks } from '../domain/field-checks.ts';
import type { Fingerprintable } from '../domain/fingerprint.ts';
import type { SqlCondition } from '../lists/keyset.ts';
import { memberStatuses } from '../records/image-member.ts';
import {
  checkName,
  checkNamePrefix,
  checkProjectId,
  checkProperties,
  checkSize,
  checkTags,
} from '../records/field-limits.ts';
import type { ImageFilter } from './image-requests.ts';
import {
  diskFormats,
  imageOutlooks,
  imageStates,
  visibilities,
  type ImageOutlook,
  type ImageState,
} from '../records/image.ts';

/** Checks a list's filter; `field` is the path before its fields' names. */
export function checkImageFilter(checks: FieldChecks, field: string, filter: ImageFilter): void {
  for (const [name, values, allowed] of [
    ['states', filter.states, imageStates],
    ['outlooks', filter.outlooks, imageOutlooks],
    ['disk_formats', filter.diskFormats, diskFormats],
    ['visibilities', filter.visibilities, visibilities],
    ['member_statuses', filter.memberStatuses, memberStatuses],
  ] as const) {
    for (const value of new Set(values)) {
      checks.oneOf(`${field}.${name}`, value, allowed);
    }
  }
  if (filter.name !== undefined) {
    checkName(checks, `${field}.name`, filter.name);
  }
  if (filter.namePrefix !== undefined) {
    checkNamePrefix(checks, `${field}.name_prefix`, filter.namePrefix);
  }
  for (const [name, time] of [
    ['created_after', filter.createdAfter],
    ['created_before', filter.createdBefore],
  ] as const) {
    if (time && Number.isNaN(time.getTime())) {
      checks.add(`${field}.${name}`, 'must be a time from year 1 to year 9999');
    }
  }
  for (const [name, size] of [
    ['min_size_bytes', filter.minSizeBytes],
    ['max_size_bytes', filter.maxSizeBytes],
  ] as const) {
    if (size !== undefined) {
      checkSize(checks, `${field}.${name}`, size);
    }
  }
  if (filter.projectId !== undefined) {
    checkProjectId(checks, `${field}.project_id`, filter.projectId);
  }
  checkProperties(checks, `${field}.properties`, filter.properties);
  checkTags(checks, `${field}.tags`, filter.tags);
}

/** A filter's content for a page token; the order of states, tags and the like does not count. */
export function imageFilterContent(filter: ImageFilter): Fingerprintable {
  return {
    states: sorted(filter.states),
    outlooks: sorted(filter.outlooks),
    name: filter.name,
    namePrefix: filter.namePrefix,
    diskFormats: sorted(filter.diskFormats),
    visibilities: sorted(filter.visibilities),
    tags: sorted(filter.tags),
    properties: filter.properties,
    createdAfter: filter.createdAfter?.getTime(),
    createdBefore: filter.createdBefore?.getTime(),
    minSizeBytes: filter.minSizeBytes,
    maxSizeBytes: filter.maxSizeBytes,
    projectId: filter.projectId,
    memberStatuses: sorted(filter.memberStatuses),
  };
}

function sorted(values: readonly string[]): string[] {
  return [...new Set(values)].sort();
}

/** The states of the images that a checked filter can show: it need not look among others. */
export function imageStatesOf(filter: ImageFilter): ImageState[] {
  const wanted: readonly string[] =
    filter.states.length === 0 ? ['QUEUED', 'ACTIVE'] : filter.states;
  const possible = new Set(
    filter.outlooks.length === 0
      ? imageStates
      : filter.outlooks.flatMap((outlook) => statesWithOutlook[outlook as ImageOutlook]),
  );
  return imageStates.filter((state) => wanted.includes(state) && possible.has(state));
}

/** As the constraint images_outlook_agrees has it. */
const statesWithOutlook: Readonly<Record<ImageOutlook, readonly ImageState[]>> = {
  EXPECTED: ['QUEUED'],
  AVAILABLE: ['ACTIVE'],
  NOT_COMING: ['QUEUED', 'DELETED'],
};

/** The conditions of a checked filter besides its states, visibilities and projects, each as its index can serve it. */
export function imageConditions(filter: ImageFilter): SqlCondition[] {
  const conditions: SqlCondition[] = [];
  const add = (sql: string, ...values: (string | number)[]): void => {
    conditions.push({ sql, values });
  };
  for (const [column, values] of [
    ['outlook', filter.outlooks],
    ['disk_format', filter.diskFormats],
  ] as const) {
    if (values.length > 0) {
      const distinct = [...new Set(values)];
      add(`${column} in (${marks(distinct)})`, ...distinct);
    }
  }
  if (filter.name !== undefined) {
    add('name collate "C" = ?', filter.name);
  }
  if (filter.namePrefix !== undefined) {
    add('name collate "C" like ?', `${filter.namePrefix.replaceAll(/[\\%_]/g, '\\$&')}%`);
  }
  if (filter.tags.length > 0) {
    add(`tags @> array[${marks(filter.tags)}]::text[]`, ...filter.tags);
  }
  if (Object.keys(filter.properties).length > 0) {
    add('properties @> ?::jsonb', JSON.stringify(filter.properties));
  }
  if (filter.createdAfter) {
    add('create_time >= ?', filter.createdAfter.toISOString());
  }
  if (filter.createdBefore) {
    add('create_time < ?', filter.createdBefore.toISOString());
  }
  if (filter.minSizeBytes !== undefined) {
    add('coalesce(size_bytes, -1) >= ?', filter.minSizeBytes);
  }
  if (filter.maxSizeBytes !== undefined) {
    add('coalesce(size_bytes, -1) between 0 and ?', filter.maxSizeBytes);
  }
  return conditions;
}

function marks(values: readonly string[]): string {
  return values.map(() => '?').join(', ');
}
