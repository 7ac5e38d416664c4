import { taskStates, type TaskState } from '../../records/task.ts';

/** What can happen to a task. */
export type TaskTransition =
  | 'START'
  | 'ENTER_PHASE'
  | 'PROGRESS'
  | 'SURVIVE_FAULT'
  | 'CHANGE_WRITER'
  | 'SUCCEED'
  | 'FAIL'
  | 'EXPIRE'
  | 'CANCEL'
  | 'LINK_RETRY';

/** One row of the state machine. */
export interface TransitionRule {
  readonly transition: TaskTransition;
  readonly from: readonly TaskState[];
  /** The state afterwards; null leaves it as it is. */
  readonly to: TaskState | null;
  /** What must hold besides, for readers; the ledger and the upload check it. */
  readonly guard: string;
  /** What else happens in the same transaction, for readers; the ledger does it. */
  readonly effects: string;
}

const live: readonly TaskState[] = ['PENDING', 'RUNNING'];

/**
 * The life of a task, all of it: what is not listed is not possible. Terminal states are final but
 * for the link to the task that retries them. The ledger runs this table, tests walk it, and the
 * documentation's picture is made from it.
 */
export const transitionRules: readonly TransitionRule[] = [
  {
    transition: 'START',
    from: ['PENDING'],
    to: 'RUNNING',
    guard: 'a writer is attached, or the service begins to fetch',
    effects: 'start_time is set; phase RECEIVING or FETCHING',
  },
  {
    transition: 'ENTER_PHASE',
    from: ['RUNNING'],
    to: null,
    guard: '',
    effects: 'phase changes',
  },
  {
    transition: 'PROGRESS',
    from: live,
    to: null,
    guard: 'a commit of the current writer epoch, or a report of the producer',
    effects: 'expire_time moves on; no event, no revision',
  },
  {
    transition: 'SURVIVE_FAULT',
    from: live,
    to: null,
    guard: '',
    effects: 'a fault that is not fatal is recorded',
  },
  {
    transition: 'CHANGE_WRITER',
    from: live,
    to: null,
    guard: '',
    effects: 'writer_epoch is raised: the writer before is fenced',
  },
  {
    transition: 'SUCCEED',
    from: ['RUNNING'],
    to: 'SUCCEEDED',
    guard: 'finish received, size and digest agree, the writer epoch is current',
    effects: 'the blob becomes the image’s, the image ACTIVE',
  },
  {
    transition: 'FAIL',
    from: live,
    to: 'FAILED',
    guard: '',
    effects: 'a fatal fault is recorded; the image’s outlook becomes NOT_COMING',
  },
  {
    transition: 'EXPIRE',
    from: live,
    to: 'FAILED',
    guard: 'expire_time has passed',
    effects: 'a fatal fault TASK_EXPIRED is recorded; the image’s outlook becomes NOT_COMING',
  },
  {
    transition: 'CANCEL',
    from: live,
    to: 'CANCELLED',
    guard: '',
    effects: 'the image’s outlook becomes NOT_COMING',
  },
  {
    transition: 'LINK_RETRY',
    from: ['FAILED', 'CANCELLED'],
    to: null,
    guard: 'the image is QUEUED and this is its newest task',
    effects: 'retried_by is set; the new task takes over the bytes where they are sound',
  },
];

const nextStates = new Map(
  transitionRules.flatMap((rule) =>
    rule.from.map((from) => [`${from} ${rule.transition}`, rule.to ?? from] as const),
  ),
);

/** The state after a transition; undefined where the table does not allow it. */
export function nextState(state: TaskState, transition: TaskTransition): TaskState | undefined {
  return nextStates.get(`${state} ${transition}`);
}

/** Whether a state is final. */
export function isTerminal(state: TaskState): boolean {
  return !live.includes(state);
}

/** The states of which a task has a successor, in the contract's order. */
export const liveStates: readonly TaskState[] = taskStates.filter((state) => !isTerminal(state));
