import {
  DarkroomError,
  isTerminal,
  Task_State,
  type DarkroomClient,
} from '../../client/exports.ts';
import { Interruption, type CommandContext } from '../command-context.ts';
import type { UploadScreen } from './upload-screen.ts';
import { bytesText, percentText, timeText } from '../output/amounts.ts';
import { dateOf } from '../words/task-words.ts';

/** How long the service is asked what it has, when the user wants an end, in ms. */
const askMs = 1500;

/**
 * Says how far an upload came that did not end, for how long that is kept, and how it is gone on with.
 *
 * @returns what has ended its task for good, if anything has: then nothing can be gone on with.
 */
export async function tellHowToGoOn(
  context: CommandContext,
  client: DarkroomClient,
  screen: UploadScreen,
  taskId: string,

  advice: readonly string[],
): Promise<DarkroomError | undefined> {
  screen.end();
  let committed = screen.last?.committedBytes ?? 0;
  let until = '';
  try {
    const { task } = await client.tasks.getTask({ taskId }, { signal: AbortSignal.timeout(askMs) });
    if (task !== undefined && isTerminal(task.state)) {
      return task.state === Task_State.FAILED && task.lastFault !== undefined
        ? DarkroomError.ofFault(task.lastFault)
        : new DarkroomError('TASK_CANCELLED', 'The task was cancelled.', { origin: 'service' });
    }
    committed = Math.max(committed, Number(task?.progress?.bytesDone ?? 0n));
    const expires = dateOf(task?.expireTime);
    until = expires === undefined ? '' : ` until ${timeText(expires)}`;
  } catch {
    // It goes without: the service may be away.
  }
  const size = screen.last?.sizeBytes;
  const of = size === undefined ? '' : ` of ${bytesText(size)}, ${percentText(committed, size)}`;
  const { notes } = context;
  const what = context.signal.reason instanceof Interruption ? 'Stopped' : 'Broken off';
  notes.line(`${what} at ${bytesText(committed)}${of}. The service keeps that${until}.`);
  advice.forEach((line) => notes.line(line));
  return undefined;
}
