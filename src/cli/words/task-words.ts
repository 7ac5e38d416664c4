import { timestampDate, type Timestamp } from '@bufbuild/protobuf/wkt';
import {
  Phase,
  PhaseSchema,
  Task_State,
  Task_StateSchema,
  Task_TypeSchema,
  type Task,
  type Task_Progress,
} from '../../client/contract.ts';
import { isTerminal } from '../../client/exports.ts';
import { bytesText, percentText } from '../output/amounts.ts';
import type { Cell } from '../output/table.ts';
import type { Style } from '../output/screen.ts';
import { enumWord } from './image-words.ts';

/** The state of a task, in its colour. */
export function stateCell(state: Task_State, style: Style): Cell {
  const text = enumWord(Task_StateSchema, state);
  switch (state) {
    case Task_State.SUCCEEDED:
      return { text, style: style.good };
    case Task_State.FAILED:
      return { text, style: style.bad };
    case Task_State.CANCELLED:
      return { text, style: style.dim };
    case Task_State.RUNNING:
      return { text, style: style.accent };
    default:
      return { text };
  }
}

/** What a task is doing: `waiting for data`; nothing once it has ended. */
export function phaseWord(task: Pick<Task, 'state' | 'phase'>): string {
  return isTerminal(task.state) || task.phase === Phase.UNSPECIFIED
    ? ''
    : enumWord(PhaseSchema, task.phase);
}

/** `upload`, `snapshot`, `import` */
export function typeWord(task: Pick<Task, 'type'>): string {
  return enumWord(Task_TypeSchema, task.type);
}

/** `512.0 MiB of 1.0 GiB, 50 %`, or as much of that as is known. */
export function progressText(progress: Task_Progress | undefined): string {
  const done = progress?.bytesDone ?? 0n;
  const total = progress?.bytesTotal;
  return total === undefined
    ? bytesText(done)
    : `${bytesText(done)} of ${bytesText(total)}, ${percentText(Number(done), Number(total))}`;
}

/** `512.0 MiB, 50 %`, or `1.0 GiB` when that is all or nobody knows. */
export function shortProgress(progress: Task_Progress | undefined): string {
  const { bytesDone = 0n, bytesTotal } = progress ?? {};
  return bytesTotal === undefined || bytesTotal === bytesDone
    ? bytesText(bytesDone)
    : `${bytesText(bytesDone)}, ${percentText(Number(bytesDone), Number(bytesTotal))}`;
}

/** When something was, if it was. */
export function dateOf(time: Timestamp | undefined): Date | undefined {
  return time === undefined ? undefined : timestampDate(time);
}
