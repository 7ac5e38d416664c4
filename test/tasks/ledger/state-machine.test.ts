import { describe, expect, test } from 'vitest';
import type { Database } from '../../../src/database/database.ts';
import type { TaskId } from '../../../src/records/ids.ts';
import {
  isTerminal,
  liveStates,
  nextState,
  transitionRules,
  type TaskTransition,
} from '../../../src/tasks/ledger/state-machine.ts';
import { taskStates, type TaskState } from '../../../src/records/task.ts';
import { transit } from './ledger-transitions.ts';
import { makeTask, readRevisions, readTask } from '../task-fixtures.ts';
import { useDatabase } from '../../support/test-database.ts';

const transitions = [...new Set(transitionRules.map((rule) => rule.transition))];

/** The shortest way to each state. */
const waysTo: Record<TaskState, TaskTransition[]> = {
  PENDING: [],
  RUNNING: ['START'],
  SUCCEEDED: ['START', 'SUCCEED'],
  FAILED: ['FAIL'],
  CANCELLED: ['CANCEL'],
};

/** Transitions that are not a change of their own: progress takes no revision. */
const withoutRevision = new Set<TaskTransition>(['PROGRESS']);

describe('the table', () => {
  test('terminal states lead nowhere', () => {
    for (const state of taskStates.filter(isTerminal)) {
      for (const transition of transitions) {
        expect([undefined, state]).toContain(nextState(state, transition));
      }
    }
    expect(taskStates.filter((state) => !isTerminal(state))).toEqual(liveStates);
  });

  test('every state can be reached, and every live one can end in every terminal one', () => {
    const reached = new Set<TaskState>(['PENDING']);
    for (const state of reached) {
      for (const transition of transitions) {
        const next = nextState(state, transition);
        if (next) {
          reached.add(next);
        }
      }
    }
    expect(reached).toEqual(new Set(taskStates));
  });

  test('no state has two rules for one transition', () => {
    const pairs = transitionRules.flatMap((rule) =>
      rule.from.map((state) => `${state} ${rule.transition}`),
    );
    expect(new Set(pairs).size).toBe(pairs.length);
  });
});

describe('the ledger does what the table says', () => {
  const database = useDatabase();

  const cases = taskStates.flatMap((state) =>
    transitions.flatMap((transition) =>
      (['change', 'changeAtOnce'] as const).map((road) => ({ state, transition, road })),
    ),
  );
  test.each(cases)('$transition of a $state task by $road', async ({ state, transition, road }) => {
    const { taskId } = await makeTask(database());
    await walk(database(), taskId, waysTo[state]);
    const before = await readTask(database(), taskId);
    expect(before.state).toBe(state);

    const expected = nextState(state, transition);
    const outcome = transit(database(), road, taskId, transition);
    await (expected === undefined
      ? expect(outcome).rejects.toThrow(transition === 'EXPIRE' ? 'not expired' : before.state)
      : outcome);

    const after = await readTask(database(), taskId);
    if (expected === undefined) {
      expect(after).toEqual(before);
    } else {
      expect(after.state).toBe(expected);
      expect(after.revision).toBe(before.revision + (withoutRevision.has(transition) ? 0 : 1));
    }
    expect(await readRevisions(database(), taskId)).toEqual(countTo(after.revision));
  });

  test.each(taskStates.filter(isTerminal))(
    'the database itself refuses to change %s',
    async (state) => {
      const { taskId } = await makeTask(database());
      await walk(database(), taskId, waysTo[state]);
      for (const other of taskStates.filter((one) => one !== state)) {
        await expect(
          database().pool.query('update tasks set state = $2 where id = $1', [taskId, other]),
        ).rejects.toThrow(/stays so/);
      }
    },
  );
});

async function walk(database: Database, taskId: TaskId, way: TaskTransition[]): Promise<void> {
  for (const transition of way) {
    await transit(database, 'change', taskId, transition);
  }
}

function countTo(last: number): number[] {
  return Array.from({ length: last }, (_, i) => i + 1);
}
