import type { EntityManager } from '@mikro-orm/postgresql';
import { DarkroomError } from '../domain/darkroom-error.ts';
import type { Task } from '../tasks/task.ts';

/** How many streams may write at the same time, over all processes. */
export interface UploadAdmission {
  readonly maxUploads: number;
  readonly maxUploadsPerProject: number;
}

/** "admi" in ASCII: the advisory lock under which uploads are counted. */
const admissionLock = 0x61646d69;
/** So many writers below a limit nobody need wait for the lock: more never begin in the same instant. */
const admissionSlack = 32;
const admissionRetryDelayMs = 5000;

/**
 * Refuses a writer where too many write already. Counting is exact only under a lock, which would have
 * all uploads begin one after the other: it is taken only near a limit.
 *
 * @throws DarkroomError TOO_MANY_UPLOADS.
 */
export async function admit(
  em: EntityManager,
  task: Task,
  admission: UploadAdmission,
): Promise<void> {
  if (isFull(await countWriters(em, task), admission, admissionSlack)) {
    await em.execute('select pg_advisory_xact_lock(?)', [admissionLock]);
    const writers = await countWriters(em, task);
    if (isFull(writers, admission, 0)) {
      throw new DarkroomError(
        'TOO_MANY_UPLOADS',
        `Too many uploads are under way: ${writers.own} of ${admission.maxUploadsPerProject} allowed in project ` +
          `${task.projectId}, ${writers.all} of ${admission.maxUploads} in all. Try again later.`,
        { retryDelayMs: admissionRetryDelayMs },
      );
    }
  }
}

interface WriterCount {
  readonly own: number;
  readonly all: number;
}

function isFull(writers: WriterCount, admission: UploadAdmission, slack: number): boolean {
  return (
    writers.own + slack >= admission.maxUploadsPerProject ||
    writers.all + slack >= admission.maxUploads
  );
}

/** By the partial index tasks_writing, which holds no more rows than there are writers. */
async function countWriters(em: EntityManager, task: Task): Promise<WriterCount> {
  const rows: WriterCount[] = await em.execute(
    `select count(*)::int as all, (count(*) filter (where project_id = ?))::int as own
     from tasks where writer_process_id is not null and id <> ?`,
    [task.projectId, task.id],
  );
  return rows[0] ?? { own: 0, all: 0 };
}
