import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { TaskSchema, Task_State, Task_Type, type Task } from '../../client/contract.ts';
import type { DarkroomClient } from '../../client/exports.ts';
import { enumValue } from '../choices.ts';
import type { CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';
import { findImage } from '../finding/find-image.ts';
import { recordFormat, recordsText } from '../output/record-format.ts';
import { tableLines } from '../output/table.ts';
import type { ConnectionOptions } from '../profiles/connection.ts';
import { imageNames, taskColumns } from './task-table.ts';

/** What `darkroom tasks` may be told. */
export interface ListTasksOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly format?: string;
  readonly wide?: boolean;
  readonly watch?: boolean;
  readonly state?: readonly string[];
  readonly type?: readonly string[];
  readonly image?: string;
  readonly label?: Readonly<Record<string, string>>;
  readonly faults?: boolean;
  readonly since?: number;
  readonly limit: number;
}

/** Lists tasks, or follows them. */
export async function listTasks(context: CommandContext, options: ListTasksOptions): Promise<void> {
  const format = recordFormat(TaskSchema, options);
  const { out, notes, signal } = context;
  await withClient(context, options, async (client) => {
    const filter = await filterOf(client, options, signal);
    if (options.watch === true) {
      const { watchTasks } = await import('./watch-tasks.ts');
      return watchTasks(context, client, filter, format);
    }
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
  filter: Awaited<ReturnType<typeof filterOf>>,
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
