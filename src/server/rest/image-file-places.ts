import { imageNotFound, readImage, readOwnImage } from '../../access/find-image.ts';
import { isOwn } from '../../access/rights.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { DownloadParts } from '../../images/download-image.ts';
import { latestTask, type UploadTarget } from '../../images/upload-target.ts';
import type { ImageId } from '../../records/ids.ts';
import type { UploadTerms } from '../../uploads/receiving/upload-body.ts';
import type { HttpCall } from '../http/http-endpoints.ts';
import { imageIdIn } from './id-in-path.ts';
import { sendImageFile } from './image-file.ts';
import { imagePath } from './image-view.ts';
import type { Place } from './place.ts';
import { sendNothing } from './rest-answer.ts';
import { receiveImage, type ReceiveParts } from './upload/receive-image.ts';
import { tellStanding, uploadFailure } from './upload/upload-answer.ts';

/** What it takes to move the bytes of images. */
export interface ImageFilePlacesParts extends ReceiveParts {
  readonly downloads: DownloadParts;
}

/**
 * The bytes of images. They are taken while the service stops, too: a sender that is turned away has read of its source by then,
 * and nothing would tell that it has, when it sends the rest to another process.
 */
export function imageFilePlaces(parts: ImageFilePlacesParts): readonly Place[] {
  const { database, downloads } = parts;

  /**
   * Of an image that waits for its bytes there is nothing to send, which is told as Glance tells it; and to its project how
   * far its upload is: where its sender goes on.
   */
  async function sendFile(call: HttpCall): Promise<void> {
    const imageId = imageIdIn(call);
    try {
      await sendImageFile(downloads, call, imageId);
    } catch (error) {
      switch (error instanceof DarkroomError && error.metadata['state']) {
        case 'QUEUED':
          await tellUpload(call, imageId);
          call.response.setHeader('cache-control', 'no-store');
          sendNothing(call);
          break;
        case 'DELETED':
          tellNoFile(call);
          throw imageNotFound(imageId);
        default:
          tellNoFile(call);
          throw error;
      }
    }
  }

  async function tellUpload(call: HttpCall, imageId: ImageId): Promise<void> {
    const image = await readImage(database, call.context.caller, imageId);
    if (isOwn(call.context.caller, image)) {
      const task = await latestTask(database, image);
      tellStanding(call, task.id, task.committedSize, task.stagedSize != null);
    }
  }

  async function takeFile(call: HttpCall, purpose: UploadTerms['purpose']): Promise<void> {
    const imageId = imageIdIn(call);
    call.context.outcome.subject = { imageId };
    let target: UploadTarget | undefined;
    const onTarget = (found: UploadTarget): void => {
      target = found;
      call.context.outcome.subject = { imageId, taskId: found.task.id };
    };
    try {
      const { outcome, isWhole } = await receiveImage(parts, call, imageId, purpose, onTarget);
      tellStanding(call, outcome.taskId, outcome.committedSize, isWhole);
      if (isWhole) {
        sendNothing(call);
      } else {
        call.response.statusCode = 202;
        call.response.end();
      }
    } catch (error) {
      if (target !== undefined && !call.response.headersSent) {
        tellStanding(call, target.task.id, committedSizeOf(error), false);
      }
      throw uploadFailure(error, {
        wasActive: target?.image.state === 'ACTIVE',
        isDeleted: target !== undefined && (await isDeleted(call, imageId)),
      });
    }
  }

  async function isDeleted({ context }: HttpCall, imageId: ImageId): Promise<boolean> {
    const image = await readOwnImage(database, context.caller, imageId).catch(() => undefined);
    return image?.state === 'DELETED';
  }

  return [
    {
      path: `${imagePath(':id')}/file`,
      methods: { GET: sendFile, PUT: (call) => takeFile(call, 'publish') },
      whileDraining: true,
      lasts: true,
    },
    {
      path: `${imagePath(':id')}/stage`,
      methods: { PUT: (call) => takeFile(call, 'stage') },
      whileDraining: true,
      lasts: true,
    },
  ];
}

/** How many bytes are stored, as the session that has ended says. */
function committedSizeOf(error: unknown): number | undefined {
  const committed = error instanceof DarkroomError && error.metadata['committed_size'];
  return typeof committed === 'string' ? Number(committed) : undefined;
}

const md5OfNothing = 'd41d8cd98f00b204e9800998ecf8427e';

/**
 * openstacksdk before 1.0 looks at no status: it writes whatever comes to its file, and says that all is well, unless the MD5 that
 * was told is another one. That of nothing is none of an error's.
 */
function tellNoFile({ response }: HttpCall): void {
  response.setHeader('content-md5', md5OfNothing);
}
