import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { DarkroomError } from '../../client/exports.ts';
import type { Task } from '../../client/contract.ts';
import type { DarkroomClient } from '../../client/exports.ts';
import { quoted } from '../../domain/quoted.ts';
import { CommandFailure } from '../command-failure.ts';
import { exitCodes } from '../exit-codes.ts';
import { typeWord } from '../words/task-words.ts';
import { matchingImages, oneImage } from './find-image.ts';
import { canonicalPrefix, isId, isIdPrefix, timesOfPrefix } from './id-text.ts';
import { severalFailure } from './several.ts';

const mostTold = 8;

/**
 * The task that is meant by an id, or its beginning; or the newest task of the image that is meant by a name or an id.
 *
 * @throws CommandFailure where there is none, or more than one. @throws DarkroomError
 */
export async function findTask(
  client: Pick<DarkroomClient, 'images' | 'tasks'>,
  text: string,
  signal: AbortSignal,
): Promise<Task> {
  const task = isId(text)
    ? await byId(client.tasks, text.toLowerCase(), signal)
    : isIdPrefix(text)
      ? await byPrefix(client.tasks, text, signal)
      : undefined;
  return task ?? newestOf(client, text, signal);
}

async function byId(
  tasks: DarkroomClient['tasks'],
  taskId: string,
  signal: AbortSignal,
): Promise<Task | undefined> {
  try {
    return (await tasks.getTask({ taskId }, { signal })).task;
  } catch (error) {
    if (error instanceof DarkroomError && error.reason === 'TASK_NOT_FOUND') {
      return undefined;
    }
    throw error;
  }
}

async function byPrefix(
  tasks: DarkroomClient['tasks'],
  text: string,
  signal: AbortSignal,
): Promise<Task | undefined> {
  const prefix = canonicalPrefix(text);
  const times = timesOfPrefix(prefix);
  const filter =
    times === undefined
      ? {}
      : {
          createdAfter: timestampFromDate(times.after),
          createdBefore: timestampFromDate(times.before),
        };
  const found: Task[] = [];
  let pageToken = '';
  do {
    const page = await tasks.listTasks({ filter, pageSize: 1000, pageToken }, { signal });
    found.push(...page.tasks.filter(({ id }) => id.startsWith(prefix)));
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && found.length < mostTold);
  if (found.length > 1) {
    const meant = found.slice(0, mostTold).map((task) => ({
      id: task.id,
      name: `${typeWord(task)} for image ${task.imageId}`,
      createTime: task.createTime,
    }));
    throw severalFailure('task', text, meant);
  }
  return found[0];
}

async function newestOf(
  client: Pick<DarkroomClient, 'images' | 'tasks'>,
  text: string,
  signal: AbortSignal,
): Promise<Task> {
  const image = oneImage(text, await matchingImages(client, text, signal));
  const latest = image?.latestTask ?? '';
  const task = latest === '' ? undefined : await byId(client.tasks, latest, signal);
  if (task === undefined) {
    throw new CommandFailure(
      exitCodes.notFound,
      `there is no task ${quoted(text)}, nor an image of that name or id whose task could be meant: darkroom tasks lists those that there are`,
    );
  }
  return task;
}
