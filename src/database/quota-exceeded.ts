import { DarkroomError } from '../domain/darkroom-error.ts';

/** What the triggers of migration 0004 raise. */
const quotaState = 'QX001';

/** Quotas whose unit is one image, or one task. */
const countedOneByOne: ReadonlySet<string> = new Set(['images', 'live_tasks']);

interface QuotaDetail {
  readonly project: string;
  readonly quota: string;
  readonly used: number;
  readonly limit: number;
  readonly requested: number;
}

/** The error for a caller whose change the database has refused by a quota; undefined for any other error. */
export function quotaExceeded(error: unknown): DarkroomError | undefined {
  if (!(error instanceof Error) || !('code' in error) || error.code !== quotaState) {
    return undefined;
  }
  const detail = 'detail' in error ? error.detail : undefined;
  return quotaError(JSON.parse(String(detail)) as QuotaDetail);
}

/** The error for a quota that does not allow what was asked for. */
export function quotaError(
  { project, quota, used, limit, requested }: QuotaDetail,
  retryDelayMs?: number,
): DarkroomError {
  return new DarkroomError(
    'QUOTA_EXCEEDED',
    `The quota ${quota} of project ${project} allows ${limit}: ${used} are used, and ${requested} more were asked for. ` +
      'Delete images or cancel tasks that are not needed, or have an operator raise the quota.',
    {
      ...(retryDelayMs !== undefined && { retryDelayMs }),
      metadata: {
        quota,
        project_id: project,
        used: String(used),
        limit: String(limit),
        requested: String(requested),
      },
    },
  );
}

/** As `work`, with its refusals by a quota as errors for callers. @throws DarkroomError QUOTA_EXCEEDED */
export async function withQuotaErrors<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw quotaExceeded(error) ?? error;
  }
}

/** What an error that refused several images or tasks at once says of each. */
export interface UnitsLeft {
  readonly projectId: string;
  /** How many more the project may have. */
  readonly count: number;
  /** What each of the others is told. */
  readonly refusal: DarkroomError;
}

/** How many more images or tasks a project may have; undefined for any other error. */
export function unitsLeft({ reason, metadata }: DarkroomError): UnitsLeft | undefined {
  const { project_id: project, quota } = metadata;
  if (
    reason !== 'QUOTA_EXCEEDED' ||
    project === undefined ||
    quota === undefined ||
    !countedOneByOne.has(quota)
  ) {
    return undefined;
  }
  const limit = Number(metadata['limit']);
  const used = Number(metadata['used']);
  const count = Math.max(0, limit - used);
  const refusal = quotaError({ project, quota, used: used + count, limit, requested: 1 });
  return { projectId: project, count, refusal };
}
