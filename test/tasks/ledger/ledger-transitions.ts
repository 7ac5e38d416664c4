import type { TaskTransition } from '../../../src/tasks/ledger/state-machine.ts';
import type { LedgerEntry } from '../../../src/tasks/ledger/ledger-entry.ts';
import { fault, member } from '../task-fixtures.ts';

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
