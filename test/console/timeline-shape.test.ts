import { create } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FaultSchema } from '../../gen/darkroom/v1/fault_pb.ts';
import { Phase } from '../../gen/darkroom/v1/phase_pb.ts';
import {
  Task_State,
  TaskEvent_Kind,
  TaskEventSchema,
  TaskSchema,
  type TaskEvent,
} from '../../gen/darkroom/v1/task_pb.ts';
import { ticksOf, timelineOf, type Span } from '../../src/console/tasks/timeline-shape.ts';

const { PENDING, RUNNING, SUCCEEDED, FAILED } = Task_State;
const beginMs = 1_800_000_000_000;

function event(
  afterMs: number,
  kind: TaskEvent_Kind,
  state: Task_State,
  phase: Phase,
  more: { readonly bytesDone?: bigint; readonly reason?: string; readonly fatal?: boolean } = {},
): TaskEvent {
  const { reason, fatal = false, bytesDone = 0n } = more;
  return create(TaskEventSchema, {
    kind,
    state,
    phase,
    bytesDone,
    createTime: timestampFromMs(beginMs + afterMs),
    ...(reason !== undefined && { fault: create(FaultSchema, { reason, fatal }) }),
  });
}

const { CREATED, STATE_CHANGED, FAULT, WRITER_CHANGED, PHASE_CHANGED } = TaskEvent_Kind;
const { WAITING_FOR_DATA, RECEIVING, VERIFYING } = Phase;

/** Resumed by another writer after a break. */
const resumed = [
  event(0, CREATED, PENDING, WAITING_FOR_DATA),
  event(100, STATE_CHANGED, RUNNING, RECEIVING),
  event(400, FAULT, RUNNING, RECEIVING, { reason: 'CONNECTION_LOST', bytesDone: 50n }),
  event(700, WRITER_CHANGED, RUNNING, RECEIVING, { bytesDone: 50n }),
  event(900, PHASE_CHANGED, RUNNING, VERIFYING, { bytesDone: 100n }),
  event(1000, STATE_CHANGED, SUCCEEDED, VERIFYING, { bytesDone: 100n }),
];

function task(state: Task_State, endMs?: number) {
  return create(TaskSchema, {
    state,
    createTime: timestampFromMs(beginMs),
    ...(endMs !== undefined && { finishTime: timestampFromMs(beginMs + endMs) }),
    progress: { bytesDone: 100n },
  });
}

function after<T>({ fromMs, toMs, what }: Span<T>): [number, number, T] {
  return [fromMs - beginMs, toMs - beginMs, what];
}

describe('a timeline', () => {
  test('has the states, phases, writers and faults of an upload that was resumed', () => {
    const timeline = timelineOf(task(SUCCEEDED, 1000), resumed, 0);
    expect(timeline.states.map(after)).toEqual([
      [0, 100, PENDING],
      [100, 1000, RUNNING],
      [1000, 1000, SUCCEEDED],
    ]);
    expect(timeline.phases.map(after)).toEqual([
      [0, 100, WAITING_FOR_DATA],
      [100, 900, RECEIVING],
      [900, 1000, VERIFYING],
    ]);
    expect(timeline.writers.map(after)).toEqual([
      [100, 400, { number: 1, isLost: true }],
      [700, 1000, { number: 2, isLost: false }],
    ]);
    expect(timeline.faults.map(({ timeMs, fault }) => [timeMs - beginMs, fault.reason])).toEqual([
      [400, 'CONNECTION_LOST'],
    ]);
    expect([timeline.fromMs - beginMs, timeline.toMs - beginMs]).toEqual([0, 1000]);
  });

  test('of a live task goes on to now', () => {
    const timeline = timelineOf(task(RUNNING), resumed.slice(0, 2), beginMs + 5000);
    expect(timeline.toMs - beginMs).toBe(5000);
    expect(timeline.writers.map(after)).toEqual([[100, 5000, { number: 1, isLost: false }]]);
    expect(timeline.bytes.at(-1)).toEqual({ timeMs: beginMs + 5000, bytes: 100 });
  });

  test('of a writer that took the upload from another shows where the first one lost it', () => {
    const events = [
      ...resumed.slice(0, 2),
      event(300, WRITER_CHANGED, RUNNING, RECEIVING),
      event(500, FAULT, FAILED, RECEIVING, { reason: 'SIZE_EXCEEDED', fatal: true }),
    ];
    expect(timelineOf(task(FAILED, 500), events, 0).writers.map(after)).toEqual([
      [100, 300, { number: 1, isLost: true }],
      [300, 500, { number: 2, isLost: false }],
    ]);
  });

  test('of what was pruned, or has not been read yet, can be drawn as well', () => {
    const { states, bytes, fromMs, toMs } = timelineOf(task(SUCCEEDED, 0), [], 0);
    expect(states).toEqual([]);
    expect(toMs).toBeGreaterThan(fromMs);
    expect(bytes.length).toBeGreaterThan(0);
  });

  test('has spans in their order, inside of it and without overlap, whatever happened', () => {
    const kinds = [STATE_CHANGED, PHASE_CHANGED, FAULT, WRITER_CHANGED];
    const step = fc.record({
      afterMs: fc.nat(1000),
      kind: fc.constantFrom(...kinds),
      state: fc.constantFrom(PENDING, RUNNING),
      phase: fc.constantFrom(WAITING_FOR_DATA, RECEIVING, VERIFYING),
      reason: fc.constantFrom('CONNECTION_LOST', 'STORAGE_FULL'),
      bytes: fc.nat(1000),
    });
    fc.assert(
      fc.property(fc.array(step), fc.nat(2000), (steps, nowMs) => {
        let timeMs = 0;
        const events = steps.map(({ afterMs, kind, state, phase, reason, bytes }) => {
          timeMs += afterMs;
          const more = { bytesDone: BigInt(bytes), ...(kind === FAULT && { reason }) };
          return event(timeMs, kind, state, phase, more);
        });
        const timeline = timelineOf(task(RUNNING), events, beginMs + nowMs);
        const { fromMs, toMs, states, phases, writers, bytes } = timeline;
        for (const spans of [states, phases, writers] satisfies (readonly Span<unknown>[])[]) {
          let endMs = fromMs;
          for (const span of spans) {
            expect(span.fromMs).toBeGreaterThanOrEqual(endMs);
            expect(span.toMs).toBeGreaterThanOrEqual(span.fromMs);
            expect(span.toMs).toBeLessThanOrEqual(toMs);
            endMs = span.toMs;
          }
        }
        for (const [index, point] of bytes.entries()) {
          expect(point.bytes).toBeGreaterThanOrEqual(bytes[index - 1]?.bytes ?? 0);
          expect(point.timeMs).toBeGreaterThanOrEqual(bytes[index - 1]?.timeMs ?? fromMs);
        }
      }),
    );
  });
});

test('a time axis has few marks, at steps that people read', () => {
  expect(ticksOf(2900, 6)).toEqual([0, 500, 1000, 1500, 2000, 2500]);
  expect(ticksOf(3_600_000, 4)).toEqual([0, 900_000, 1_800_000, 2_700_000, 3_600_000]);
  fc.assert(
    fc.property(
      fc.double({ min: 1, max: 86_400_000 * 60, noNaN: true }),
      fc.integer({ min: 2, max: 20 }),
      (lengthMs, most) => {
        const ticks = ticksOf(lengthMs, most);
        expect(ticks.length).toBeLessThanOrEqual(most + 1);
        expect(ticks.every((tick) => tick <= lengthMs)).toBe(true);
      },
    ),
  );
});
