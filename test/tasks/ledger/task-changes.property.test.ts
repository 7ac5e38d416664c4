import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import type { TaskId } from '../../../src/records/ids.ts';
import { Image } from '../../../src/records/image.ts';
import {
  isTerminal,
  nextState,
  transitionRules,
  type TaskTransition,
} from '../../../src/tasks/ledger/state-machine.ts';
import { TaskEvent } from '../../../src/records/task-event.ts';
import type { TaskState } from '../../../src/records/task.ts';
import { transit } from './ledger-transitions.ts';
import { makeTask, readTask, type roads } from '../task-fixtures.ts';
import { useDatabase } from '../../support/test-database.ts';

const database = useDatabase(16);

const transitions = fc.constantFrom(...new Set(transitionRules.map((rule) => rule.transition)));

/** A transition, and the road of the ledger that it is asked on: on both the same holds, and between them. */
const asking = fc.record({
  transition: transitions,
  road: fc.constantFrom('change', 'changeAtOnce'),
});

/** Asks for a transition; answers whether it was allowed. */
async function attempt(
  taskId: TaskId,
  transition: TaskTransition,
  road: keyof typeof roads,
): Promise<boolean> {
  try {
    await transit(database(), road, taskId, transition);
    return true;
  } catch (error) {
    if (error instanceof DarkroomError || String(error).includes('not expired')) {
      return false;
    }
    throw error;
  }
}

/** What must hold of a task whatever happened to it. */
async function assertSound(taskId: TaskId): Promise<void> {
  const em = database().fork();
  const task = await readTask(database(), taskId);
  const events = await em.find(TaskEvent, { taskId }, { orderBy: { revision: 'asc' } });
  // Revisions without gaps, and as many events.
  expect(events.map(({ revision }) => revision)).toEqual(events.map((_, i) => i + 1));
  expect(task.revision).toBe(events.length);
  // Once terminal, always the same; what follows is the link to the retry.
  const ended = events.findIndex(({ state }) => isTerminal(state));
  if (ended >= 0) {
    expect(new Set(events.slice(ended).map(({ state }) => state)).size).toBe(1);
    expect(events.slice(ended + 1).every(({ kind }) => kind === 'RETRIED')).toBe(true);
  }
  expect(events.at(-1)?.state).toBe(task.state);
  expect(task.expireTime === null).toBe(isTerminal(task.state));
  expect(events.filter(({ kind }) => kind === 'FAULT')).toHaveLength(task.faultCount);
  const image = await em.findOneOrFail(Image, { id: task.imageId });
  if (image.latestTaskId === taskId && image.state === 'QUEUED' && task.state !== 'SUCCEEDED') {
    expect(image.outlook).toBe(isTerminal(task.state) ? 'NOT_COMING' : 'EXPECTED');
  }
}

test('any sequence of transitions goes as the table says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(asking, { minLength: 1, maxLength: 12 }), async (sequence) => {
      const { taskId } = await makeTask(database());
      let state: TaskState = 'PENDING';
      let isLinked = false;
      for (const { transition, road } of sequence) {
        // A task is retried once; who asks a second time is answered with the first retry.
        if (transition === 'LINK_RETRY' && isLinked) {
          continue;
        }
        const next = nextState(state, transition);
        expect(await attempt(taskId, transition, road)).toBe(next !== undefined);
        isLinked ||= transition === 'LINK_RETRY' && next !== undefined;
        state = next ?? state;
      }
      expect((await readTask(database(), taskId)).state).toBe(state);
      await assertSound(taskId);
    }),
    { numRuns: 40 },
  );
});

test('transitions from many connections at the same time never end a task twice', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        asking.filter(({ transition }) => transition !== 'LINK_RETRY'),
        { minLength: 8, maxLength: 24 },
      ),
      async (asked) => {
        const { taskId } = await makeTask(database());
        const outcomes = await Promise.all(
          asked.map(async ({ transition, road }) => ({
            transition,
            isAllowed: await attempt(taskId, transition, road),
          })),
        );
        const endings = outcomes.filter(
          ({ transition, isAllowed }) =>
            isAllowed && ['SUCCEED', 'FAIL', 'EXPIRE', 'CANCEL'].includes(transition),
        );
        expect(endings.length).toBeLessThanOrEqual(1);
        const { state } = await readTask(database(), taskId);
        expect(isTerminal(state)).toBe(endings.length === 1);
        await assertSound(taskId);
      },
    ),
    { numRuns: 25 },
  );
});
