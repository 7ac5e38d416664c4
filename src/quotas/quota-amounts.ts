/** What quotas are of, as in the contract's QuotaAmounts. */
export const quotaNames = [
  'stored_bytes',
  'in_flight_bytes',
  'images',
  'live_tasks',
  'uploads',
  'imports',
  'requests_per_second',
] as const;
export type QuotaName = (typeof quotaNames)[number];

/** An amount of each; as a limit, -1 is none. */
export type QuotaAmounts = Readonly<Record<QuotaName, number>>;

/** What counts in the database, in the row of a project. The others are counted when they begin. */
export const countedQuotas = [
  'stored_bytes',
  'in_flight_bytes',
  'images',
  'live_tasks',
] as const satisfies readonly QuotaName[];

/** A limit that is none. */
export const unlimited = -1;

/** Settings that limit projects for which no other limit is set. 0 is no limit. */
export interface QuotaSettings {
  readonly maxStoredBytesPerProject: number;
  readonly maxInFlightBytesPerProject: number;
  readonly maxImagesPerProject: number;
  readonly maxLiveTasksPerProject: number;
  readonly maxUploadsPerProject: number;
  readonly maxImportsPerProject: number;
  readonly maxRequestsPerProject: number;
}

/** The limits that the settings say. */
export function defaultLimits(settings: QuotaSettings): QuotaAmounts {
  return {
    stored_bytes: settings.maxStoredBytesPerProject || unlimited,
    in_flight_bytes: settings.maxInFlightBytesPerProject || unlimited,
    images: settings.maxImagesPerProject || unlimited,
    live_tasks: settings.maxLiveTasksPerProject || unlimited,
    uploads: settings.maxUploadsPerProject,
    imports: settings.maxImportsPerProject,
    requests_per_second: settings.maxRequestsPerProject || unlimited,
  };
}
