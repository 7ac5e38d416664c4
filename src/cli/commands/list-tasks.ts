import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  Image_State,
  TaskSchema,
  Task_State,
  Task_Type,
  type Task,
} from '../../client/contract.ts';
import type { DarkroomClient } from '../../client/exports.ts';
import { enumValue } from '../choices.ts';
import type { CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';
import { findImage } from '../finding/find-image.ts';
import { shortened } from '../finding/id-text.ts';
import { ageText } from '../output/amounts.ts';
import { recordFormat, recordsText } from '../output/record-format.ts';
import { tableLines, type Column } from '../output/table.ts';
import type { Screen } from '../output/screen.ts';
import type { ConnectionOptions } from '../profiles/connection.ts';
import { dateOf, phaseWord, progressText, stateCell, typeWord } from '../words/task-words.ts';

/** What `darkroom tasks` may be told. */
export interface ListTasksOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly format?: string;
  readonly wide?: boolean;
  readonly state?: readonly string[];
  readonly type?: readonly string[];
  readonly image?: string;
  readonly label?: Readonly<Record<string, string>>;
  readonly faults?: boolean;
  readonly since?: number;
  readonly limit: number;
}

/** Lists tasks. */
export async function listTasks(context: CommandContext, options: ListTasksOptions): Promise<void> {
  const format = recordFormat(TaskSchema, options);
  const { out, notes, signal } = context;
  await withClient(context, options, async (client) => {
    const filter = await filterOf(client, options, signal);
    const { tasks, isMore } = await read(client, filter, options.limit, signal);
    if (format !== undefined) {
      out.write(recordsText(format, TaskSchema, tasks));
    } else if (tasks.length === 0) {
      notes.line('There are no such tasks.');
    } else {
      const names = await imageNames(client, tasks, signal);
      const isShort = options.wide !== true && out.isTerminal;
      for (const line of tableLines(taskColumns(tasks, names, isShort, out), tasks, out)) {
        out.line(line);
      }
    }
    if (isMore) {
      notes.line(
        `There are more than these ${tasks.length}: --limit ${options.limit * 10} shows more.`,
      );
    }
  });
}

/** Which tasks are meant. */
export type TasksWanted = Awaited<ReturnType<typeof filterOf>>;

async function filterOf(
  client: Pick<DarkroomClient, 'images'>,
  options: ListTasksOptions,
  signal: AbortSignal,
) {
  const { state = [], type = [], image, label, faults, since } = options;
  return {
    states: state.map((word) => enumValue(Task_State, word)),
    types: type.map((word) => enumValue(Task_Type, word)),
    labels: { ...label },
    ...(image === undefined ? {} : { imageId: (await findImage(client, image, signal)).id }),
    ...(faults === undefined ? {} : { hasFaults: faults }),
    ...(since === undefined
      ? {}
      : { createdAfter: timestampFromDate(new Date(Date.now() - since)) }),
  };
}

async function read(
  client: Pick<DarkroomClient, 'tasks'>,
  filter: TasksWanted,
  limit: number,
  signal: AbortSignal,
): Promise<{ readonly tasks: readonly Task[]; readonly isMore: boolean }> {
  const tasks: Task[] = [];
  let pageToken = '';
  do {
    const pageSize = Math.min(1000, limit - tasks.length);
    const page = await client.tasks.listTasks({ filter, pageSize, pageToken }, { signal });
    tasks.push(...page.tasks);
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && tasks.length < limit);
  return { tasks, isMore: pageToken !== '' };
}

/** As many as a filter takes. */
const idsAtOnce = 128;

/** The names of the images of tasks, by their ids; deleted ones and hidden ones too. */
export async function imageNames(
  client: Pick<DarkroomClient, 'images'>,
  tasks: readonly Pick<Task, 'imageId'>[],
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const ids = [...new Set(tasks.map(({ imageId }) => imageId))];
  const names = new Map<string, string>();
  const states = [Image_State.QUEUED, Image_State.ACTIVE, Image_State.DELETED];
  for (let from = 0; from < ids.length; from += idsAtOnce) {
    const some = ids.slice(from, from + idsAtOnce);
    for (const hidden of [false, true]) {
      const filter = { ids: some, hidden, states };
      const { images } = await client.images.listImages({ filter, pageSize: 1000 }, { signal });
      images.forEach(({ id, name }) => names.set(id, name));
      if (images.length === some.length) {
        break;
      }
    }
  }
  return names;
}

/** The columns of a table of tasks. @param names of their images, by id */
export function taskColumns(
  tasks: readonly Task[],
  names: ReadonlyMap<string, string>,
  isShort: boolean,
  { style }: Screen,
): Column<Task>[] {
  const now = new Date();
  const ids = shortened(tasks.map(({ id }) => id));
  const wide: Column<Task>[] = isShort
    ? []
    : [
        { title: 'IMAGE ID', cell: ({ imageId }) => imageId },
        { title: 'BY', cell: ({ createdBy }) => createdBy },
      ];
  return [
    {
      title: 'ID',
      cell: ({ id }) => ({ text: isShort ? (ids.get(id) ?? id) : id, style: style.accent }),
    },
    { title: 'TYPE', cell: typeWord },
    { title: 'IMAGE', cell: ({ imageId }) => names.get(imageId) || '-', shrinksTo: 8 },
    { title: 'STATE', cell: ({ state }) => stateCell(state, style) },
    { title: 'DOING', cell: phaseWord, shrinksTo: 9 },
    { title: 'BYTES', cell: ({ progress }) => progressText(progress) },
    {
      title: 'AGE',
      cell: ({ createTime }) => ageText(dateOf(createTime) ?? now, now),
      align: 'right',
    },
    ...wide,
    {
      title: 'FAULTS',
      cell: ({ faultCount }) => (faultCount === 0 ? '' : String(faultCount)),
      align: 'right',
    },
    {
      title: 'LAST FAULT',
      cell: ({ lastFault }) => ({
        text: lastFault?.reason ?? '',
        style: lastFault?.fatal === true ? style.bad : style.warn,
      }),
      shrinksTo: 10,
    },
  ];
}
