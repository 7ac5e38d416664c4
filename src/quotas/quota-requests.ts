import type { Caller } from '../access/caller.ts';
import { requireRole, visibleProject } from '../access/rights.ts';
import { FieldChecks } from '../domain/field-checks.ts';
import type { ProjectQuota, ProjectQuotas, QuotaChange } from './project-quotas.ts';
import { quotaNames, unlimited, type QuotaName } from './quota-amounts.ts';

/** What UpdateQuota is asked for. */
export interface UpdateQuotaRequest {
  /** The caller's own if it is empty. */
  readonly projectId: string;
  readonly limits: Readonly<Partial<Record<QuotaName, bigint>>>;
  /** Names of limits, or `*`. */
  readonly paths: readonly string[];
  /** Empty for any. */
  readonly etag: string;
}

const maxProjectId = 255;

/** @throws DarkroomError FIELD_INVALID; ROLE_INSUFFICIENT for another project than the caller's own, unless for an admin. */
export async function readQuota(
  quotas: ProjectQuotas,
  caller: Caller,
  projectId: string,
): Promise<ProjectQuota> {
  const checks = new FieldChecks();
  checkProject(checks, projectId);
  checks.settle({});
  return quotas.get(projectOf(caller, projectId, 'reading the quota of another project'));
}

/** @throws DarkroomError FIELD_INVALID, ROLE_INSUFFICIENT, ETAG_MISMATCH. */
export async function updateQuota(
  quotas: ProjectQuotas,
  caller: Caller,
  { projectId, limits, paths, etag }: UpdateQuotaRequest,
): Promise<ProjectQuota> {
  const checks = new FieldChecks();
  checkProject(checks, projectId);
  if (paths.length === 0) {
    checks.add('update_mask', `must name at least one of ${quotaNames.join(', ')}, or *`);
  }
  for (const path of paths) {
    if (path !== '*' && !isQuotaName(path)) {
      checks.add('update_mask', `must name nothing but ${quotaNames.join(', ')} or *`);
    }
  }
  const change: Partial<Record<QuotaName, number | null>> = {};
  for (const name of paths.includes('*') ? quotaNames : paths.filter(isQuotaName)) {
    const limit = limits[name];
    if (limit !== undefined && (limit < unlimited || limit > Number.MAX_SAFE_INTEGER)) {
      checks.add(
        `limits.${name}`,
        `must be from 0 to ${Number.MAX_SAFE_INTEGER}, or -1 for no limit`,
      );
    }
    change[name] = limit === undefined ? null : Number(limit);
  }
  if (etag !== '' && !/^\d{1,15}$/.test(etag)) {
    checks.add('etag', 'must be an etag that GetQuota or UpdateQuota has answered');
  }
  checks.settle({});
  const project = projectOf(caller, projectId, 'setting quotas');
  return quotas.update(
    project,
    change satisfies QuotaChange,
    etag === '' ? undefined : Number(etag),
  );
}

function isQuotaName(path: string): path is QuotaName {
  return quotaNames.some((name) => name === path);
}

function checkProject(checks: FieldChecks, projectId: string): void {
  checks.text('project_id', projectId, {
    min: 0,
    max: maxProjectId,
    unit: 'characters',
    lineBreaks: false,
  });
}

function projectOf(caller: Caller, projectId: string, what: string): string {
  const own = visibleProject(caller);
  if (projectId !== '' && projectId !== own) {
    requireRole(caller, ['admin'], what);
  }
  return projectId === '' ? own : projectId;
}
