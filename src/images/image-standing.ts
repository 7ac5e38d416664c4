import type { ImageState } from '../records/image.ts';

/** Where an image and its newest task are together, by which lists can be filtered. */
export const imageStandings = [
  'QUEUED',
  'SAVING',
  'UPLOADING',
  'IMPORTING',
  'ACTIVE',
  'DEACTIVATED',
] as const;
/** One of `imageStandings`. */
export type ImageStanding = (typeof imageStandings)[number];

const isLive = `tasks.state in ('PENDING', 'RUNNING')`;
const isSent = `tasks.type <> 'IMPORT'`;
const isImporting = `
  (${isLive} and (tasks.type = 'IMPORT' or tasks.is_staging and tasks.finish_size is not null))`;
const isUploading = `
  (${isLive} and ${isSent} and tasks.is_staging and tasks.finish_size is null
    and (tasks.writer_process_id is not null or tasks.staged_size is not null))`;
const isSaving = `
  (${isLive} and ${isSent} and not tasks.is_staging
    and (tasks.writer_process_id is not null or tasks.finish_size is not null))`;

const isExpected = `state = 'QUEUED' and outlook = 'EXPECTED'`;

/** By the primary key of tasks. Of images whose bytes are expected alone: these have a live task, and an index. */
const newestTaskIs = (condition: string): string =>
  `exists (select from tasks where tasks.id = images.latest_task_id and ${condition})`;

/** As `imageStatus` in src/server/rest tells them, which a test holds against these. */
const standings: Readonly<
  Record<ImageStanding, { readonly state: ImageState; readonly sql: string }>
> = {
  QUEUED: {
    state: 'QUEUED',
    sql: `state = 'QUEUED' and not ${newestTaskIs(`(${isImporting} or ${isUploading} or ${isSaving})`)}`,
  },
  SAVING: { state: 'QUEUED', sql: `${isExpected} and ${newestTaskIs(isSaving)}` },
  UPLOADING: { state: 'QUEUED', sql: `${isExpected} and ${newestTaskIs(isUploading)}` },
  IMPORTING: { state: 'QUEUED', sql: `${isExpected} and ${newestTaskIs(isImporting)}` },
  ACTIVE: { state: 'ACTIVE', sql: `state = 'ACTIVE' and not deactivated` },
  DEACTIVATED: { state: 'ACTIVE', sql: `state = 'ACTIVE' and deactivated` },
};

/** SQL: whether a row of `images` is in one of some standings. */
export function standingCondition(wanted: readonly ImageStanding[]): string {
  const conditions = [...new Set(wanted)].map((standing) => `(${standings[standing].sql})`);
  return conditions.length === 0 ? 'false' : `(${conditions.join(' or ')})`;
}

/** The states that images in these standings have. */
export function statesOfStandings(wanted: readonly ImageStanding[]): readonly ImageState[] {
  return wanted.map((standing) => standings[standing].state);
}
