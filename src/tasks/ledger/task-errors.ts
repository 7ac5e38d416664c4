import { Code } from '../../../gen/google/rpc/code_pb.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import { isTerminal, type TaskTransition } from './state-machine.ts';
import type { Task } from '../../records/task.ts';

/** The error for a task whose time has just passed. */
export function expiredError(task: Task): DarkroomError {
  return new DarkroomError(
    'TASK_EXPIRED',
    `Task ${task.id} waited ${task.idleTimeoutMs / 1000} s for a sign of life and failed. ` +
      `RetryTask makes the next attempt from the bytes that are stored.`,
    { code: Code.FAILED_PRECONDITION, metadata: { task_id: task.id } },
  );
}

/** The error for a transition that the state machine does not allow. */
export function transitionError(task: Task, transition: TaskTransition): DarkroomError {
  const ended = task.finishTime ? ` since ${task.finishTime.toISOString()}` : '';
  if (isTerminal(task.state)) {
    const advice =
      task.state === 'SUCCEEDED'
        ? 'Nothing is left to do.'
        : 'ListFaults tells why; RetryTask makes the next attempt.';
    return new DarkroomError(
      transition === 'LINK_RETRY' ? 'TASK_STATE_INVALID' : 'TASK_TERMINAL',
      `Task ${task.id} is ${task.state}${ended} and takes no more changes. ${advice}`,
      { metadata: { task_id: task.id, state: task.state } },
    );
  }
  return new DarkroomError(
    'TASK_STATE_INVALID',
    `Task ${task.id} is ${task.state}, which does not allow ${transition}.`,
    { metadata: { task_id: task.id, state: task.state } },
  );
}

/** How a task that lost its writer goes on, for people. */
export function whereToGoOn({ type, committedSize }: Task): string {
  return type === 'IMPORT'
    ? `${committedSize} bytes are stored: another worker goes on, and nothing needs to be done.`
    : `${committedSize} bytes are stored: the upload can be resumed from byte ${committedSize}.`;
}
