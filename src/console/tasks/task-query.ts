import type { MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Task_State, Task_Type } from '../../../gen/darkroom/v1/task_pb.ts';
import type { TaskFilterSchema } from '../../../gen/darkroom/v1/task_service_pb.ts';

/** Which tasks the reader wants to see, by the words of the address. */
export interface TaskQuery {
  /** Live ones if empty. */
  readonly state: string;
  readonly type: string;
  readonly since: string;
  readonly faults: boolean;
}

/** States by their words in the address: what is asked for, and what it is called. */
export const stateChoices: ReadonlyMap<string, readonly [states: readonly Task_State[], string]> =
  new Map([
    ['', [[Task_State.PENDING, Task_State.RUNNING], 'Live']],
    ['failed', [[Task_State.FAILED], 'Failed']],
    ['done', [[Task_State.SUCCEEDED], 'Done']],
    ['cancelled', [[Task_State.CANCELLED], 'Cancelled']],
    ['all', [[], 'All']],
  ]);

/** Types by their words in the address. */
export const typeChoices: ReadonlyMap<string, Task_Type> = new Map([
  ['upload', Task_Type.UPLOAD],
  ['snapshot', Task_Type.SNAPSHOT],
  ['import', Task_Type.IMPORT],
]);

/** How far back, by the words of the address, in ms. */
export const sinceChoices: ReadonlyMap<string, readonly [ms: number, text: string]> = new Map([
  ['', [86_400_000, 'Last 24 hours']],
  ['7d', [7 * 86_400_000, 'Last 7 days']],
  ['30d', [30 * 86_400_000, 'Last 30 days']],
]);

/** Reads an address. What it does not know counts as not said. */
export function taskQueryOf(query: URLSearchParams): TaskQuery {
  const word = (name: string, known: ReadonlyMap<string, unknown>): string => {
    const given = query.get(name) ?? '';
    return known.has(given) ? given : '';
  };
  return {
    state: word('state', stateChoices),
    type: word('type', typeChoices),
    since: word('since', sinceChoices),
    faults: query.get('faults') === 'yes',
  };
}

/** What the service is asked to tell. Live tasks are told however old they are; of the others, those of late. */
export function watchFilter(
  query: TaskQuery,
  nowMs: number,
): MessageInitShape<typeof TaskFilterSchema> {
  const states = stateChoices.get(query.state)?.[0] ?? [];
  const type = typeChoices.get(query.type);
  const sinceMs = sinceChoices.get(query.since)?.[0] ?? 0;
  return {
    states: [...states],
    types: type === undefined ? [] : [type],
    ...(query.faults ? { hasFaults: true } : {}),
    ...(query.state === '' ? {} : { updatedAfter: timestampFromMs(nowMs - sinceMs) }),
  };
}
