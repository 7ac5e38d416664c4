import { TaskEventSchema, TaskSchema, type TaskEvent } from '../../client/contract.ts';
import { DarkroomError } from '../../client/exports.ts';
import type { DarkroomClient } from '../../client/exports.ts';
import type { CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';
import { findTask } from '../finding/find-task.ts';
import { jsonOf, recordFormat, recordText } from '../output/record-format.ts';
import type { ConnectionOptions } from '../profiles/connection.ts';
import { taskReport, type TaskStory } from '../words/task-report.ts';

/** What `darkroom task` may be told. */
export interface ShowTaskOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly format?: string;
}

/** Tells what happened to a task: for programs the task, with its events in JSON. */
export async function showTask(
  context: CommandContext,
  text: string,
  options: ShowTaskOptions,
): Promise<void> {
  const format = recordFormat(TaskSchema, options);
  const { out, signal } = context;
  const story = await withClient(context, options, async (client) => {
    const task = await findTask(client, text, signal);
    return readStory(client, task.id, signal);
  });
  if (format === undefined) {
    out.write(
      taskReport(story, out, new Date())
        .map((line) => `${line}\n`)
        .join(''),
    );
  } else if (format.as === 'json') {
    const events = story.events.map((event) => jsonOf(TaskEventSchema, event));
    const json = { ...(jsonOf(TaskSchema, story.task) as object), events };
    out.line(JSON.stringify(json, undefined, 2));
  } else {
    out.write(recordText(format, TaskSchema, story.task));
  }
}

/** Reads all that is known of a task. */
export async function readStory(
  client: Pick<DarkroomClient, 'images' | 'tasks'>,
  taskId: string,
  signal: AbortSignal,
): Promise<TaskStory> {
  const events: TaskEvent[] = [];
  let pageToken = '';
  do {
    const page = await client.tasks.listTaskEvents(
      { taskId, pageSize: 1000, pageToken },
      { signal },
    );
    events.push(...page.events);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  // Read after its events, so that it is not older than they are.
  const { task } = await client.tasks.getTask({ taskId }, { signal });
  if (task === undefined) {
    throw new DarkroomError('ANSWER_INVALID', 'The service has answered without a task.');
  }
  const { image } = await client.images.getImage({ imageId: task.imageId }, { signal });
  return { task, image, events };
}
