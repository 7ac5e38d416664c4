import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Image_DiskFormat } from '../gen/darkroom/v1/image_pb.ts';
import { Code } from '../gen/google/rpc/code_pb.ts';
import type { Connection } from './connection.ts';
import { persist } from './persistence.ts';
import type { Upload } from './upload.ts';

/** The reason that a producer gives when it gives up. */
export const producersReason = 'HYPERVISOR_LOST';
/** How long a task waits for a client that has left it alone, in ms. */
const aloneTimeoutMs = 1500;

/** Creates the image and its task; repeated until it is answered, it makes one of each. */
export async function createUpload(connect: () => Connection, upload: Upload): Promise<void> {
  const { name, stated, fate } = upload.plan;
  const { image, task } = await persist(connect, ({ images }, options) =>
    images.createImage(
      {
        requestId: name,
        image: { name, diskFormat: Image_DiskFormat.RAW },
        source: { case: 'upload', value: stated },
        ...(fate === 'left alone' ? { idleTimeout: durationFromMs(aloneTimeoutMs) } : {}),
      },
      options,
    ),
  );
  upload.imageId = image?.id ?? '';
  upload.takeTask(task?.id ?? '');
}

/** Cancels the present task. */
export async function cancelUpload(connect: () => Connection, upload: Upload): Promise<void> {
  const { taskId } = upload;
  await persist(
    connect,
    async ({ tasks }, options) => {
      await tasks.cancelTask({ taskId, reason: 'chaos' }, options);
      return true;
    },
    // Ended in another way meanwhile: whoever looks at it next sees how.
    (reason) => (reason === 'TASK_TERMINAL' || reason === 'TASK_EXPIRED' ? true : undefined),
  );
}

/** Makes the next attempt at the image, which takes over the bytes unless they are in doubt. */
export async function retryUpload(connect: () => Connection, upload: Upload): Promise<void> {
  const { taskId, hasLied, acknowledgements } = upload;
  const { floor } = acknowledgements;
  const { task } = await persist(connect, ({ tasks }, options) =>
    tasks.retryTask({ taskId }, options),
  );
  if (hasLied) {
    acknowledgements.forget();
  } else {
    acknowledgements.note(task?.progress?.bytesDone ?? 0, floor, 'RetryTask');
  }
  upload.takeTask(task?.id ?? '');
}

/** Does what cuts an upload short for good. */
export async function meetFate(connect: () => Connection, upload: Upload): Promise<void> {
  const { plan, taskId, imageId } = upload;
  switch (plan.fate) {
    case 'cancelled':
      return await cancelUpload(connect, upload);
    case 'deleted':
      await persist(connect, ({ images }, options) => images.deleteImage({ imageId }, options));
      return;
    case 'reported':
      await persist(
        connect,
        async ({ tasks }, options) => {
          await tasks.reportFault(
            {
              taskId,
              code: Code.ABORTED,
              reason: producersReason,
              message: 'the machine is gone',
              fatal: true,
            },
            options,
          );
          return true;
        },
        // The answer to the first try was lost.
        (reason) => (reason === 'TASK_TERMINAL' ? true : undefined),
      );
      return;
    case 'complete':
    case 'wrong digest':
    case 'left alone':
      return;
  }
}
