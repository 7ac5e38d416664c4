import type { DarkroomClient, Image } from '../../client/exports.ts';
import type { CommandContext } from '../command-context.ts';
import type { UploadOptions } from './upload-options.ts';
import type { UploadScreen } from './upload-screen.ts';
import { UsageError } from '../usage-error.ts';
import { findTask } from '../finding/find-task.ts';
import { tellHowToGoOn } from './go-on.ts';
import { newImage } from './new-image.ts';

/** Sends what comes on the standard input. */
export async function uploadInput(
  context: CommandContext,
  client: DarkroomClient,
  options: UploadOptions,
  screen: UploadScreen,
): Promise<Image> {
  const { input, signal } = context;
  const { name = '', size, sha256, task, idleTimeout } = options;
  if (input.isTTY === true) {
    throw new UsageError('nothing is piped in: the standard input is a terminal');
  }
  screen.name = name === '' ? 'standard input' : name;
  let taskId: string | undefined;
  const sending = {
    signal,
    ...(size === undefined ? {} : { size }),
    ...(sha256 === undefined ? {} : { sha256 }),
    onProgress: (progress: Parameters<UploadScreen['progress']>[0]) => screen.progress(progress),
    onTask: (ids: { readonly taskId: string }) => {
      ({ taskId } = ids);
    },
  };
  try {
    const aim =
      task === undefined
        ? {
            ...newImage(options, name, { diskFormat: undefined, isPacked: false }),
            ...(idleTimeout === undefined ? {} : { idleTimeoutMs: idleTimeout }),
          }
        : { taskId: (await findTask(client, task, signal)).id };
    return (await client.uploadImage(input, { ...sending, ...aim })).image;
  } catch (error) {
    if (taskId !== undefined) {
      const end = await tellHowToGoOn(context, client, screen, taskId, [
        'Pipe the same bytes in once more, from the first on:',
        `  … | darkroom upload - --task ${taskId}`,
      ]);
      throw end ?? error;
    }
    throw error;
  }
}
