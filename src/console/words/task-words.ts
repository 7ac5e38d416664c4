import { Phase } from '../../../gen/darkroom/v1/phase_pb.ts';
import { Task_State, Task_Type } from '../../../gen/darkroom/v1/task_pb.ts';
import type { Tone } from './image-words.ts';

const states: ReadonlyMap<Task_State, readonly [word: string, tone: Tone]> = new Map([
  [Task_State.PENDING, ['Waiting', 'busy']],
  [Task_State.RUNNING, ['Running', 'busy']],
  [Task_State.SUCCEEDED, ['Done', 'good']],
  [Task_State.FAILED, ['Failed', 'bad']],
  [Task_State.CANCELLED, ['Cancelled', 'quiet']],
]);

/** How far a task is, in words. A newer service may know more than this console, here and below. */
export function stateWord(state: Task_State): readonly [word: string, tone: Tone] {
  return states.get(state) ?? ['Unknown', 'quiet'];
}

const types: ReadonlyMap<Task_Type, string> = new Map([
  [Task_Type.UPLOAD, 'Upload'],
  [Task_Type.SNAPSHOT, 'Snapshot'],
  [Task_Type.IMPORT, 'Import'],
]);

/** What a task does, in a word. */
export function typeWord(type: Task_Type): string {
  return types.get(type) ?? 'Task';
}

const phases: ReadonlyMap<Phase, string> = new Map([
  [Phase.WAITING_FOR_DATA, 'waiting for data'],
  [Phase.RECEIVING, 'receiving'],
  [Phase.FETCHING, 'fetching'],
  [Phase.VERIFYING, 'verifying'],
  [Phase.UNPACKING, 'unpacking'],
  [Phase.PUBLISHING, 'publishing'],
]);

/** What a task is doing, in words; empty where it does nothing. */
export function phaseWord(phase: Phase): string {
  return phases.get(phase) ?? '';
}

/** Whether a task can still change. */
export function isLive(state: Task_State): boolean {
  return state === Task_State.PENDING || state === Task_State.RUNNING;
}

/** Whether RetryTask makes sense of a task by itself. */
export function canRetry(task: {
  readonly state: Task_State;
  readonly retriedBy: string;
}): boolean {
  return (
    (task.state === Task_State.FAILED || task.state === Task_State.CANCELLED) &&
    task.retriedBy === ''
  );
}
