import { Image_Outlook, type Image } from '../../../gen/darkroom/v1/image_pb.ts';
import { DarkroomError } from '../calls/client-error.ts';
import { endingWith, Survival, type ClientCalls } from '../calls/client-calls.ts';
import { watchTask, type WatchOptions } from './watch-task.ts';

/** How often an image is looked at whose task is not told to the caller, in ms. */
const lookMs = 2_000;

/**
 * Waits until an image is ACTIVE, through the retries of its tasks.
 *
 * @throws DarkroomError as soon as it will not come: by the reason of the last fault, or IMAGE_NOT_COMING; IMAGE_NOT_FOUND
 *   and what else does not pass by itself; the signal's reason
 */
export async function waitForImage(
  calls: ClientCalls,
  imageId: string,
  options: WatchOptions = {},
): Promise<Image> {
  const survival = new Survival(calls, options);
  const { signal } = options;
  let ended = '';
  for (;;) {
    try {
      const { image } = await calls.images.getImage({ imageId }, endingWith(signal));
      survival.progressed();
      if (image === undefined) {
        throw new DarkroomError('ANSWER_INVALID', `The service answered without image ${imageId}.`);
      }
      switch (image.outlook) {
        case Image_Outlook.AVAILABLE:
          return image;
        case Image_Outlook.NOT_COMING:
          throw notComing(image);
        default:
      }
      // Its project alone is told the task.
      if (image.latestTask === '' || image.latestTask === ended) {
        await calls.pauses.wait(lookMs, signal);
        continue;
      }
      for await (const news of watchTask(calls, image.latestTask, options)) {
        void news;
      }
      ended = image.latestTask;
    } catch (thrown) {
      signal?.throwIfAborted();
      const error = DarkroomError.from(thrown);
      if (!survival.passes(error)) {
        throw error;
      }
      await survival.wait(error, options.onConnection);
    }
  }
}

function notComing({ id, lastFault }: Image): DarkroomError {
  return lastFault === undefined
    ? new DarkroomError('IMAGE_NOT_COMING', `Image ${id} was deleted, or no task brings it.`, {
        origin: 'service',
      })
    : DarkroomError.ofFault(lastFault);
}
