import type { Caller } from '../access/caller.ts';
import { visibleProject } from '../access/rights.ts';
import type { SqlCondition } from '../lists/keyset.ts';
import type { ImageState } from '../records/image.ts';
import { imageConditions, imageStatesOf } from './image-filter.ts';
import type { ImageFilter } from './image-requests.ts';

/**
 * The runs of images that a list with a checked filter is put together from, each of one state and one reason for which
 * the caller sees them, and each the whole of an index's run but for what else the filter asks for:
 *
 * - its own;
 * - what is PUBLIC, which all projects see;
 * - what is COMMUNITY, only where that, or its project, is asked for;
 * - what is SHARED with it, and it has accepted, or whichever answer is asked for. There is no order in their index: they
 *   are as many as the project has accepted.
 *
 * An image may be in two runs: that of its own and that of all. To keep it out of one of them would mean to walk over all
 * that the project itself has made PUBLIC.
 */
export function visibleRuns(caller: Caller, filter: ImageFilter): readonly SqlCondition[] {
  const conditions = imageConditions(filter);
  const reasons = reasonsOf(visibleProject(caller), filter);
  return imageStatesOf(filter).flatMap((state) =>
    reasons
      // Others' images that were deleted are as if they had never been.
      .filter(({ isOwn }) => isOwn || state !== 'DELETED')
      .map(({ reason }) => runOf(state, [reason, ...conditions])),
  );
}

interface Reason {
  readonly reason: SqlCondition;
  readonly isOwn: boolean;
}

function reasonsOf(project: string, filter: ImageFilter): readonly Reason[] {
  const { projectId: owner } = filter;
  const wanted = new Set(filter.visibilities);
  const isWanted = (visibility: string): boolean => wanted.size === 0 || wanted.has(visibility);
  const reasons: Reason[] = [];
  if (owner === undefined || owner === project) {
    reasons.push({ reason: ownImages(project, [...wanted]), isOwn: true });
  }
  if (owner === project) {
    return reasons;
  }
  const open = [
    ...(isWanted('PUBLIC') ? ['PUBLIC'] : []),
    ...(wanted.has('COMMUNITY') || (owner !== undefined && isWanted('COMMUNITY'))
      ? ['COMMUNITY']
      : []),
  ];
  for (const visibility of open) {
    // Not a value of its own: the indexes of such images have it in their condition.
    const reason = { sql: `visibility = '${visibility}'`, values: [] };
    reasons.push({ reason: ofOwner(reason, owner), isOwn: false });
  }
  if (isWanted('SHARED')) {
    reasons.push({
      reason: ofOwner(sharedImages(project, filter.memberStatuses), owner),
      isOwn: false,
    });
  }
  return reasons;
}

function ownImages(project: string, visibilities: readonly string[]): SqlCondition {
  const own = { sql: 'project_id = ?', values: [project] };
  return visibilities.length === 0
    ? own
    : and(own, { sql: `visibility in (${marks(visibilities)})`, values: visibilities });
}

function sharedImages(project: string, statuses: readonly string[]): SqlCondition {
  const wanted = statuses.length === 0 ? ['ACCEPTED'] : [...new Set(statuses)];
  return {
    sql: `visibility = 'SHARED' and id in (
      select image_id from image_members where member_project_id = ? and status in (${marks(wanted)}))`,
    values: [project, ...wanted],
  };
}

function ofOwner(condition: SqlCondition, owner: string | undefined): SqlCondition {
  return owner === undefined
    ? condition
    : and(condition, { sql: 'project_id = ?', values: [owner] });
}

function runOf(state: ImageState, conditions: readonly SqlCondition[]): SqlCondition {
  return conditions.reduce(and, { sql: 'state = ?', values: [state] });
}

function and(one: SqlCondition, other: SqlCondition): SqlCondition {
  return { sql: `${one.sql} and ${other.sql}`, values: [...one.values, ...other.values] };
}

function marks(values: readonly string[]): string {
  return values.map(() => '?').join(', ');
}
