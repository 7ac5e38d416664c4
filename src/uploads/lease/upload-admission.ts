import type { EntityManager } from '@mikro-orm/postgresql';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { Task } from '../../records/task.ts';
import { hasSignOfLife } from './writer-process.ts';

/** How many streams may write at the same time, over all processes. */
export interface UploadAdmission {
  readonly maxUploads: number;
  readonly maxUploadsPerProject: number;
}

/** What was set for a project in place of the settings; -1 is no limit. */
export interface TransferLimits {
  readonly maxUploads?: number | null;
  readonly maxImports?: number | null;
}

/** How many uploads of a project there may be. */
export function admissionOf(
  admission: UploadAdmission,
  { maxUploads }: TransferLimits,
): UploadAdmission {
  return {
    ...admission,
    maxUploadsPerProject: limitOf(maxUploads, admission.maxUploadsPerProject),
  };
}

/** What was set for a project, or else is set for all. */
export function limitOf(own: number | null | undefined, others: number): number {
  const limit = own ?? others;
  return limit < 0 ? Infinity : limit;
}

/** "admi" in ASCII: the advisory lock under which uploads are counted. */
const admissionLock = 0x61646d69;
const retryDelayMs = 5000;

/**
 * So far below a limit nothing is locked for the counting, since the lock makes all uploads begin one
 * after the other, each for as long as a commit takes. More than so many would have to begin in the same
 * few milliseconds to exceed the limit.
 */
const ampleRoom = 32;

/** Whether so many more uploads may run, besides those that write, that none needs to be counted under a lock. */
export function hasAmpleRoom(writers: WriterCount, admission: UploadAdmission): boolean {
  return room(writers, admission) > ampleRoom;
}

/**
 * Holds a lock until the transaction ends.
 *
 * @throws DarkroomError TOO_MANY_UPLOADS unless one more upload may run.
 */
export async function admitUpload(
  em: EntityManager,
  task: Task,
  admission: UploadAdmission,
): Promise<void> {
  await em.execute('select pg_advisory_xact_lock(?)', [admissionLock]);
  const counted = await countWriters(em, task, false);
  if (room(counted, admission) <= 0) {
    throw new DarkroomError(
      'TOO_MANY_UPLOADS',
      `Too many uploads are under way: ${counted.own} of ${admission.maxUploadsPerProject} allowed in project ` +
        `${task.projectId}, ${counted.all} of ${admission.maxUploads} in all. Try again later.`,
      {
        retryDelayMs,
        metadata:
          counted.own >= admission.maxUploadsPerProject
            ? usageOf('uploads', counted.own, admission.maxUploadsPerProject)
            : {},
      },
    );
  }
}

function usageOf(quota: string, used: number, limit: number): Record<string, string> {
  return { quota, used: String(used), limit: String(limit), requested: '1' };
}

/** Whether one more import of the task's project may be fetched, of `maxOfProject` over all processes. */
export async function mayImport(
  em: EntityManager,
  task: Task,
  maxOfProject: number,
): Promise<boolean> {
  // Imports are few, so there is no need to spare the lock.
  await em.execute('select pg_advisory_xact_lock(?)', [admissionLock]);
  return (await countWriters(em, task, true)).own < maxOfProject;
}

/** How many streams write just now, over all processes. */
export interface WriterCount {
  readonly all: number;
  /** Of the task's project. */
  readonly own: number;
}

function room({ all, own }: WriterCount, admission: UploadAdmission): number {
  return Math.min(admission.maxUploads - all, admission.maxUploadsPerProject - own);
}

/** Writers of processes that died hold nothing any more, though nobody may have detached them yet. */
async function countWriters(
  em: EntityManager,
  task: Task,
  isImport: boolean,
): Promise<WriterCount> {
  const rows: WriterCount[] = await em.execute(
    `select count(*)::int as all, (count(*) filter (where tasks.project_id = ?))::int as own
     from tasks join processes on processes.id = tasks.writer_process_id
     where tasks.writer_process_id is not null and tasks.type ${isImport ? '=' : '<>'} 'IMPORT'
       and tasks.id <> ? and ${hasSignOfLife}`,
    [task.projectId, task.id],
  );
  return rows[0] ?? { all: 0, own: 0 };
}
