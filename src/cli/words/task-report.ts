import {
  Fault_Origin,
  Image_State,
  Phase,
  PhaseSchema,
  TaskEvent_Kind,
  Task_State,
  Task_StateSchema,
  Task_Type,
  type Fault,
  type Image,
  type Task,
  type TaskEvent,
} from '../../client/contract.ts';
import { isTerminal } from '../../client/exports.ts';
import { ageText, bytesText, clockText, durationText, timeText } from '../output/amounts.ts';
import type { Screen, Style } from '../output/screen.ts';
import { shownText } from '../output/shown-text.ts';
import { tableLines, type Column } from '../output/table.ts';
import { enumWord, imageTitle } from './image-words.ts';
import { faultRemedy } from './remedies.ts';
import { dateOf, phaseWord, progressText, stateCell, typeWord } from './task-words.ts';

/** What is known of a task. */
export interface TaskStory {
  readonly task: Task;
  readonly image: Image | undefined;
  /** All that are kept, oldest first. */
  readonly events: readonly TaskEvent[];
}

/** A task as a person wants to read it: how it stands, what happened, when and at which byte, what to do now. */
export function taskReport(story: TaskStory, screen: Screen, now: Date): string[] {
  const { style } = screen;
  return [
    ...heading(story, style),
    '',
    ...facts(story, style, now),
    '',
    style.bold('What happened'),
    ...happened(story.events, screen),
    '',
    style.bold('What to do now'),
    ...whatToDo(story).map((line) => `  ${line}`),
  ];
}

function heading({ task, image }: TaskStory, style: Style): string[] {
  const { text, style: colour = (same: string) => same } = stateCell(task.state, style);
  const title = image === undefined ? task.imageId : shownText(imageTitle(image));
  const kind = typeWord(task);
  return [
    `${style.bold(`${kind.charAt(0).toUpperCase()}${kind.slice(1)} of ${title}`)}: ${colour(text)}`,
  ];
}

function facts({ task, image }: TaskStory, style: Style, now: Date): string[] {
  const made = dateOf(task.createTime);
  const finished = dateOf(task.finishTime);
  const expires = dateOf(task.expireTime);
  const rows: (readonly [string, string])[] = [['task', task.id]];
  rows.push([
    'image',
    image === undefined ? task.imageId : `${task.imageId} ${shownText(image.name)}`.trimEnd(),
  ]);
  if (made !== undefined) {
    const attempt = task.attempt > 1 ? `, attempt ${task.attempt}` : '';
    rows.push(['made', `${timeText(made)} by ${shownText(task.createdBy) || 'nobody'}${attempt}`]);
  }
  if (task.source !== '') {
    rows.push(['source', shownText(task.source)]);
  }
  const labels = Object.entries(task.labels).map(([key, value]) => `${key}=${value}`);
  if (labels.length > 0) {
    rows.push(['labels', shownText(labels.join(', '))]);
  }
  if (!isTerminal(task.state)) {
    rows.push(['doing', phaseWord(task)]);
  }
  if (task.message !== '') {
    rows.push(['says', shownText(task.message)]);
  }
  rows.push(['bytes', bytesWords(task)]);
  if (finished !== undefined && made !== undefined) {
    rows.push([
      'ended',
      `${timeText(finished)}, after ${durationText(finished.getTime() - made.getTime())}`,
    ]);
  }
  if (expires !== undefined) {
    const left = expires.getTime() - now.getTime();
    rows.push([
      'expires',
      `${timeText(expires)}${left > 0 ? `, in ${durationText(left)}` : ''} unless something comes`,
    ]);
  }
  if (task.retryOf !== '') {
    rows.push(['retry of', task.retryOf]);
  }
  if (task.retriedBy !== '') {
    rows.push(['retried by', task.retriedBy]);
  }
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `  ${style.dim(name.padEnd(width))}  ${value}`);
}

function bytesWords({ progress }: Task): string {
  const stored = progress?.bytesStored ?? 0n;
  const done = progress?.bytesDone ?? 0n;
  const holes =
    stored > 0n && stored < done ? `; ${bytesText(stored)} take up room, the rest are holes` : '';
  return `${progressText(progress)}${holes}`;
}

function happened(events: readonly TaskEvent[], screen: Screen): string[] {
  const { style } = screen;
  let day = '';
  const columns: Column<TaskEvent>[] = [
    {
      title: '',
      cell(event) {
        const date = dateOf(event.createTime);
        if (date === undefined) {
          return '';
        }
        // The date stands with the first of each day.
        const text = timeText(date);
        const isSameDay = text.slice(0, 10) === day;
        day = text.slice(0, 10);
        return { text: isSameDay ? clockText(date) : text, style: style.dim };
      },
      align: 'right',
    },
    { title: '', cell: (event) => `at ${bytesText(event.bytesDone)}`, align: 'right' },
    { title: '', cell: (event) => eventWords(event, style) },
  ];
  const lines = tableLines(columns, events, screen).slice(1);
  return lines.flatMap((line, index) => {
    const fault = events[index]?.fault;
    const below = fault === undefined ? [] : faultLines(fault, style);
    return [`  ${line}`].concat(below);
  });
}

/** What a change is, in a line, in its colour. */
export function eventWords(
  event: TaskEvent,
  style: Style,
): { text: string; style?: (text: string) => string } {
  const { fault } = event;
  if (fault !== undefined) {
    const who = fault.origin === Fault_Origin.PRODUCER ? ', said its producer' : '';
    const end = fault.fatal ? `${who}; this ended the task` : `${who}; survived`;
    return { text: `${fault.reason}${end}`, style: fault.fatal ? style.bad : style.warn };
  }
  const named = (what: string): string => {
    // What the service writes begins with the same word as a rule.
    const isSaid = event.cause.toLowerCase().startsWith(what);
    return isSaid ? event.cause : event.cause === '' ? what : `${what}: ${event.cause}`;
  };
  switch (event.kind) {
    case TaskEvent_Kind.CREATED:
      return { text: event.cause || 'made' };
    case TaskEvent_Kind.STATE_CHANGED:
      return {
        text: named(enumWord(Task_StateSchema, event.state)),
        style: stateCell(event.state, style).style ?? ((text) => text),
      };
    case TaskEvent_Kind.PHASE_CHANGED:
      return { text: named(enumWord(PhaseSchema, event.phase)) };
    case TaskEvent_Kind.WRITER_CHANGED:
      return { text: named('another writer') };
    case TaskEvent_Kind.RETRIED:
      return { text: named('retried') };
    default:
      return { text: event.cause };
  }
}

/** What a fault says, below its line. */
export function faultLines(fault: Fault, style: Style): string[] {
  return [fault.message, fault.detail === '' ? '' : `cause: ${fault.detail}`]
    .filter((text) => text !== '')
    .map((text) => `      ${style.dim(shownText(text))}`);
}

/** What may be done about a task, as sentences and commands to paste. */
export function whatToDo({ task, image }: Pick<TaskStory, 'task' | 'image'>): string[] {
  if (image?.state === Image_State.DELETED) {
    return ['Nothing: the image was deleted.'];
  }
  switch (task.state) {
    case Task_State.SUCCEEDED:
      return ['Nothing: the image is there.', `darkroom download ${task.imageId}`];
    case Task_State.FAILED:
    case Task_State.CANCELLED:
      return afterTheEnd(task);
    default:
      return meanwhile(task);
  }
}

function afterTheEnd(task: Task): string[] {
  if (task.retriedBy !== '') {
    return [
      'It was retried; the newer task tells how it goes on.',
      `darkroom task ${task.retriedBy}`,
    ];
  }
  const fault = task.lastFault;
  const isFailed = task.state === Task_State.FAILED && fault !== undefined;
  const remedy = isFailed ? faultRemedy(fault.reason) : undefined;
  const advice = isFailed
    ? (remedy ?? `${fault.message} Once that is mended, retry.`)
    : 'It was cancelled. To have the image all the same, retry.';
  if (isFailed && !fault.retryable) {
    return [shownText(advice)];
  }
  return [shownText(advice), `darkroom retry ${task.id}`];
}

function meanwhile(task: Task): string[] {
  const stop = `darkroom cancel ${task.id}`;
  if (task.type === Task_Type.IMPORT) {
    const fault = task.lastFault;
    const trouble =
      fault === undefined || fault.fatal
        ? []
        : [
            `It is tried again by itself after ${fault.reason}. ${faultRemedy(fault.reason) ?? ''}`.trimEnd(),
          ];
    return [...trouble, 'Wait, or follow it:', `darkroom watch ${task.id}`, 'To give it up:', stop];
  }
  const isStopped = task.phase === Phase.RECEIVING && task.lastFault !== undefined;
  const sending = isStopped
    ? `If nobody is sending it any more (the last fault is ${task.lastFault?.reason}), run the same darkroom upload again: it goes on from byte ${task.progress?.bytesDone ?? 0n}.`
    : task.phase === Phase.WAITING_FOR_DATA
      ? 'Nothing has arrived yet: its sender has to begin before it expires.'
      : 'It is on its way. Wait, or follow it:';
  return [sending, `darkroom watch ${task.id}`, 'To give it up:', stop];
}

/** How long ago, in a sentence. */
export function agoText(date: Date, now: Date): string {
  const age = ageText(date, now);
  return age === 'now' ? 'just now' : `${age} ago`;
}
