import { Code } from '../../../gen/google/rpc/code_pb.ts';
import type { Database } from '../../database/database.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { ProcessId, TaskId } from '../../records/ids.ts';
import type { LedgerEntry } from '../ledger/ledger-entry.ts';
import { whereToGoOn } from '../ledger/task-errors.ts';
import type { TaskLedger } from '../ledger/task-ledger.ts';

/** A process that is gone. */
export interface LostProcess {
  readonly id: ProcessId;
  /** Empty if it is not known. */
  readonly host: string;
}

/** Completes an upload of which all bytes and the finish were received. Must not throw. */
export type OrphanedFinishHandler = (taskId: TaskId) => void;

/**
 * Detaches all uploads that a lost process was writing: each gets a survived fault that says so and a new
 * writer epoch, by which the process is fenced if it is alive after all. Answers how many.
 *
 * Several processes may do this at the same time: each upload is detached, and each finish handed on, by
 * one of them.
 *
 * @throws the driver's errors.
 */
export async function detachLostWriters(
  database: Database,
  ledger: TaskLedger,
  lost: LostProcess,
  onOrphanedFinish: OrphanedFinishHandler,
): Promise<number> {
  const { rows } = await database.pool.query<{ id: TaskId }>(
    'select id from tasks where writer_process_id = $1',
    [lost.id],
  );
  let detached = 0;
  for (const { id } of rows) {
    const outcome = await detach(ledger, id, lost);
    detached += outcome === 'not its' ? 0 : 1;
    if (outcome === 'finish received') {
      onOrphanedFinish(id);
    }
  }
  return detached;
}

const finishingPhases: ReadonlySet<string> = new Set(['VERIFYING', 'UNPACKING', 'PUBLISHING']);

type Detachment = 'not its' | 'detached' | 'finish received';

async function detach(ledger: TaskLedger, taskId: TaskId, lost: LostProcess): Promise<Detachment> {
  try {
    return await ledger.change(taskId, undefined, (entry) => detachEntry(entry, lost));
  } catch (error) {
    // It ended meanwhile, or its time had passed: then it has no writer any more.
    if (error instanceof DarkroomError) {
      return 'not its';
    }
    throw error;
  }
}

function detachEntry(entry: LedgerEntry, lost: LostProcess): Detachment {
  const { task } = entry;
  if (task.writerProcessId !== lost.id) {
    return 'not its';
  }
  const isFinishing = task.finishSize != null && finishingPhases.has(task.phase);
  const process = lost.host === '' ? 'The service process' : `The service process on ${lost.host}`;
  entry.survive({
    reason: 'SERVICE_LOST',
    code: Code.UNAVAILABLE,
    message: isFinishing
      ? `${process} died while it ${task.phase === 'UNPACKING' ? 'unpacked' : 'checked'} the ${task.committedSize} ` +
        'bytes, all of which had come. Another one does it again: nothing needs to be done.'
      : `${process} died during the ${task.type === 'IMPORT' ? 'import' : 'upload'}. ${whereToGoOn(task)}`,
    origin: 'SERVER',
    retryable: true,
  });
  entry.changeWriter(`${process} died`);
  return isFinishing ? 'finish received' : 'detached';
}
