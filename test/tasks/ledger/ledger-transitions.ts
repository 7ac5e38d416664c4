import type { TaskTransition } from '../../../src/tasks/ledger/state-machine.ts';
import type { LedgerEntry } from '../../../src/tasks/ledger/ledger-entry.ts';
import type { Database } from '../../../src/database/database.ts';
import type { TaskId } from '../../../src/records/ids.ts';
import { change, fault, member, roads } from '../task-fixtures.ts';

/** How each transition is asked of the ledger. */
export const askLedger: Record<TaskTransition, (entry: LedgerEntry) => unknown> = {
  START: (entry) => entry.start('RECEIVING', 'test'),
  // Into another phase, whichever it is in: into the same one nothing happens.
  ENTER_PHASE: (entry) =>
    entry.enterPhase(entry.task.phase === 'VERIFYING' ? 'RECEIVING' : 'VERIFYING', 'test'),
  PROGRESS: (entry) => entry.signOfLife(),
  SURVIVE_FAULT: (entry) => entry.survive(fault),
  CHANGE_WRITER: (entry) => entry.changeWriter('test'),
  SUCCEED: (entry) => entry.succeed('test'),
  FAIL: (entry) => entry.fail(fault),
  EXPIRE: (entry) => {
    entry.task.expireTime &&= new Date(entry.now.getTime() - 1);
    if (!entry.expireIfDue()) {
      throw new Error('not expired');
    }
  },
  CANCEL: (entry) => entry.cancel('test'),
  LINK_RETRY: (entry) => entry.retry(null, member, true, 'test'),
};

/** Asks for a transition on one of the ledger's roads. A retry makes another task, and is always made under the locks. */
export async function transit(
  database: Database,
  road: keyof typeof roads,
  taskId: TaskId,
  transition: TaskTransition,
): Promise<void> {
  const ask = transition === 'LINK_RETRY' ? change : roads[road];
  await ask(database, taskId, (entry) => void askLedger[transition](entry));
}
