import type { FieldChecks } from '../domain/field-checks.ts';
import type { Fingerprintable } from '../domain/fingerprint.ts';
import type { SqlCondition } from '../lists/keyset.ts';
import { memberStatuses } from '../records/image-member.ts';
import {
  checkName,
  checkProjectId,
  checkProperties,
  checkSize,
  checkTags,
} from '../records/field-limits.ts';
import type { ImageFilter } from './image-requests.ts';
import { standingCondition, statesOfStandings } from './image-standing.ts';
import { parseId } from '../records/ids.ts';
import {
  containerFormats,
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
    ['container_formats', filter.containerFormats, containerFormats],
    ['visibilities', filter.visibilities, visibilities],
    ['member_statuses', filter.memberStatuses, memberStatuses],
  ] as const) {
    for (const value of new Set(values)) {
      checks.oneOf(`${field}.${name}`, value, allowed);
    }
  }
  checkCount(checks, `${field}.ids`, filter.ids);
  filter.ids.forEach((id, i) => checks.attempt(() => parseId(id, `${field}.ids[${i}]`)));
  if (filter.name !== undefined) {
    checkName(checks, `${field}.name`, filter.name);
  }
  checkCount(checks, `${field}.names`, filter.names);
  filter.names.forEach((name, i) => checkName(checks, `${field}.names[${i}]`, name));
  if (filter.namePrefix !== undefined) {
    checkName(checks, `${field}.name_prefix`, filter.namePrefix);
  }
  for (const [name, time] of [
    ['created_after', filter.createdAfter],
    ['created_before', filter.createdBefore],
    ['updated_after', filter.updatedAfter],
    ['updated_before', filter.updatedBefore],
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

/** How many ids, or names, a filter may name. */
const maxNamed = 128;

function checkCount(checks: FieldChecks, field: string, values: readonly string[]): void {
  if (values.length > maxNamed) {
    checks.add(field, `must have at most ${maxNamed} entries, not ${values.length}`);
  }
}

/** A filter's content for a page token; the order of states, tags and the like does not count. */
export function imageFilterContent(filter: ImageFilter): Fingerprintable {
  return {
    states: sorted(filter.states),
    outlooks: sorted(filter.outlooks),
    name: filter.name,
    // As it was before there were such fields, so that a list goes on after an update.
    names: ifAny(filter.names),
    ids: ifAny(filter.ids),
    containerFormats: ifAny(filter.containerFormats),
    updatedAfter: filter.updatedAfter?.getTime(),
    updatedBefore: filter.updatedBefore?.getTime(),
    hidden: filter.hidden === true ? true : undefined,
    protected: filter.protected,
    deactivated: filter.deactivated,
    createdOutside: filter.createdOutside?.map((time) => time.getTime()),
    updatedOutside: filter.updatedOutside?.map((time) => time.getTime()),
    minDiskBytes: filter.minDiskBytes,
    minRamBytes: filter.minRamBytes,
    standings: filter.standings && sorted(filter.standings),
    sha256: filter.sha256,
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

function ifAny(values: readonly string[]): string[] | undefined {
  return values.length === 0 ? undefined : sorted(values);
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
  const standing: readonly ImageState[] = filter.standings
    ? statesOfStandings(filter.standings)
    : imageStates;
  return imageStates.filter(
    (state) => wanted.includes(state) && possible.has(state) && standing.includes(state),
  );
}

/** As the constraint images_outlook_agrees has it. */
const statesWithOutlook: Readonly<Record<ImageOutlook, readonly ImageState[]>> = {
  EXPECTED: ['QUEUED'],
  AVAILABLE: ['ACTIVE'],
  NOT_COMING: ['QUEUED', 'DELETED'],
};

/** The conditions of a checked filter besides its states, visibilities and projects, each as its index can serve it. */
export function imageConditions(filter: ImageFilter): SqlCondition[] {
  // Not a value of its own: the index of those that are has it in its condition.
  const conditions: SqlCondition[] = [
    { sql: filter.hidden === true ? 'hidden' : 'not hidden', values: [] },
  ];
  const add = (sql: string, ...values: (string | number)[]): void => {
    conditions.push({ sql, values });
  };
  for (const [column, values] of [
    ['outlook', filter.outlooks],
    ['disk_format', filter.diskFormats],
    ['container_format', filter.containerFormats],
  ] as const) {
    if (values.length > 0) {
      const distinct = [...new Set(values)];
      add(`${column} in (${marks(distinct)})`, ...distinct);
    }
  }
  if (filter.ids.length > 0) {
    add(`id in (${marks(filter.ids)})`, ...filter.ids);
  }
  const names = [...(filter.name === undefined ? [] : [filter.name]), ...filter.names];
  if (names.length > 0) {
    add(`name collate "C" in (${marks(names)})`, ...names);
  }
  for (const [column, wanted] of [
    ['protected', filter.protected],
    ['deactivated', filter.deactivated],
  ] as const) {
    if (wanted !== undefined) {
      add(wanted ? column : `not ${column}`);
    }
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
  for (const [column, span] of [
    ['create_time', filter.createdOutside],
    ['update_time', filter.updatedOutside],
  ] as const) {
    if (span) {
      const [from, until] = span;
      add(`not (${column} >= ? and ${column} < ?)`, from.toISOString(), until.toISOString());
    }
  }
  for (const [column, span] of [
    ['min_disk_bytes', filter.minDiskBytes],
    ['min_ram_bytes', filter.minRamBytes],
  ] as const) {
    if (span) {
      add(`${column} >= ? and ${column} < ?`, ...span);
    }
  }
  if (filter.standings) {
    add(standingCondition(filter.standings));
  }
  if (filter.sha256 !== undefined) {
    add('sha256 = ?', filter.sha256);
  }
  for (const [column, from, until] of [
    ['create_time', filter.createdAfter, filter.createdBefore],
    ['update_time', filter.updatedAfter, filter.updatedBefore],
  ] as const) {
    if (from) {
      add(`${column} >= ?`, from.toISOString());
    }
    if (until) {
      add(`${column} < ?`, until.toISOString());
    }
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
