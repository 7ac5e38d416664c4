import { timestampMs } from '@bufbuild/protobuf/wkt';
import type { Fault } from '../../../gen/darkroom/v1/fault_pb.ts';
import { Phase } from '../../../gen/darkroom/v1/phase_pb.ts';
import {
  Task_State,
  TaskEvent_Kind,
  type Task,
  type TaskEvent,
} from '../../../gen/darkroom/v1/task_pb.ts';

/** Something that lasts, from one time to another, in ms. */
export interface Span<T> {
  readonly fromMs: number;
  readonly toMs: number;
  readonly what: T;
}

/** Which writer had an upload, counted from 1, and whether it has lost it before the end. */
export interface Writer {
  readonly number: number;
  readonly isLost: boolean;
}

/** What is drawn of a task's life. */
export interface Timeline {
  readonly fromMs: number;
  readonly toMs: number;
  readonly states: readonly Span<Task_State>[];
  readonly phases: readonly Span<Phase>[];
  /** None where no client sends the bytes. */
  readonly writers: readonly Span<Writer>[];
  readonly faults: readonly { readonly timeMs: number; readonly fault: Fault }[];
  /** How many bytes were durable when; never fewer than before. */
  readonly bytes: readonly { readonly timeMs: number; readonly bytes: number }[];
}

/** Faults after which a writer has the upload no more. */
const losesWriter: ReadonlySet<string> = new Set([
  'CONNECTION_LOST',
  'SERVICE_LOST',
  'SERVER_DRAINING',
  'STREAM_IDLE',
  'STREAM_TOO_SLOW',
  'CREDENTIAL_EXPIRED',
  'CREDENTIAL_INVALID',
]);

/** Lays out a task's life. @param events of the task, oldest first. @param nowMs where a live task has come to. */
export function timelineOf(task: Task, events: readonly TaskEvent[], nowMs: number): Timeline {
  const timed = events
    .filter(({ createTime }) => createTime !== undefined)
    .map((event) => ({ event, timeMs: event.createTime ? timestampMs(event.createTime) : 0 }));
  const createdMs = task.createTime === undefined ? nowMs : timestampMs(task.createTime);
  const fromMs = Math.min(createdMs, timed[0]?.timeMs ?? createdMs);
  const endMs = task.finishTime === undefined ? nowMs : timestampMs(task.finishTime);
  // What ended at once still has a width.
  const toMs = Math.max(endMs, timed.at(-1)?.timeMs ?? endMs, fromMs + 1);
  const ending = task.finishTime === undefined ? toMs : Math.max(endMs, fromMs);

  const bytes = timed.map(({ event, timeMs }) => ({ timeMs, bytes: Number(event.bytesDone) }));
  const done = Number(task.progress?.bytesDone ?? 0n);
  return {
    fromMs,
    toMs,
    states: spansOf(timed, toMs, ({ state }) => state),
    phases: spansOf(timed, ending, ({ phase }) => phase).filter(
      ({ what }) => what !== Phase.UNSPECIFIED,
    ),
    writers: writersOf(timed, ending),
    faults: timed.flatMap(({ event, timeMs }) =>
      event.fault === undefined ? [] : [{ timeMs, fault: event.fault }],
    ),
    bytes: rising([{ timeMs: fromMs, bytes: 0 }, ...bytes, { timeMs: ending, bytes: done }]),
  };
}

interface Timed {
  readonly event: TaskEvent;
  readonly timeMs: number;
}

/** Neighbours that are the same are one span. */
function spansOf<T>(
  timed: readonly Timed[],
  toMs: number,
  what: (event: TaskEvent) => T,
): Span<T>[] {
  const spans: Span<T>[] = [];
  for (const [index, { event, timeMs }] of timed.entries()) {
    const until = Math.max(timeMs, timed[index + 1]?.timeMs ?? toMs);
    const last = spans.at(-1);
    if (last !== undefined && last.what === what(event)) {
      spans[spans.length - 1] = { ...last, toMs: until };
    } else {
      spans.push({ fromMs: timeMs, toMs: until, what: what(event) });
    }
  }
  return spans;
}

function writersOf(timed: readonly Timed[], toMs: number): Span<Writer>[] {
  const writers: Span<Writer>[] = [];
  let begunMs: number | undefined;
  let count = 0;
  const end = (timeMs: number, isLost: boolean): void => {
    if (begunMs !== undefined) {
      writers.push({ fromMs: begunMs, toMs: timeMs, what: { number: count, isLost } });
      begunMs = undefined;
    }
  };
  for (const { event, timeMs } of timed) {
    const isReceiving = event.phase === Phase.RECEIVING;
    if (event.kind === TaskEvent_Kind.WRITER_CHANGED) {
      end(timeMs, true);
      begunMs = timeMs;
      count += 1;
    } else if (event.fault !== undefined && losesWriter.has(event.fault.reason)) {
      end(timeMs, true);
    } else if (isReceiving && begunMs === undefined && event.fault === undefined) {
      begunMs = timeMs;
      count += 1;
    } else if (event.state !== Task_State.PENDING && event.state !== Task_State.RUNNING) {
      end(timeMs, false);
    }
  }
  end(toMs, false);
  return writers;
}

function rising(points: Timeline['bytes']): Timeline['bytes'] {
  let most = 0;
  return points
    .toSorted((a, b) => a.timeMs - b.timeMs)
    .map(({ timeMs, bytes }) => {
      most = Math.max(most, bytes);
      return { timeMs, bytes: most };
    });
}

/** Steps of a time axis that people read at a glance, in ms. */
const steps = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000,
  300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 21_600_000, 43_200_000,
  86_400_000, 172_800_000, 604_800_000,
];

/** Where the time axis is marked, in ms from its beginning. @param most how many marks there is room for. */
export function ticksOf(lengthMs: number, most: number): readonly number[] {
  const step = steps.find((one) => lengthMs / one <= most) ?? 2_592_000_000;
  return Array.from({ length: Math.floor(lengthMs / step) + 1 }, (_, index) => index * step);
}
