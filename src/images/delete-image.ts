import { LockMode } from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../database/database.ts';
import type { Caller } from '../access/caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { parseId, type BlobId, type ImageId } from '../records/ids.ts';
import { ImageMember } from '../records/image-member.ts';
import { ImportOrder } from '../records/import-order.ts';
import { Blob } from '../records/blob.ts';
import { databaseTime } from '../database/database-time.ts';
import { faultOf } from '../tasks/ledger/fault-report.ts';
import { lockLiveTask } from '../tasks/ledger/task-ledger.ts';
import { Task } from '../records/task.ts';
import { lockImage } from '../access/find-image.ts';
import { requireEtag } from './require-etag.ts';
import type { DeleteImageRequest } from './image-requests.ts';
import { viewImage, type ImageView } from './image-view.ts';
import type { Image } from '../records/image.ts';

/**
 * Deletes an image, in one transaction: a live task of it fails, its bytes and those that its tasks
 * hold are given up, the record stays. Deleting a deleted image answers as the first time, whatever
 * the etag: a client that lost the first answer repeats its request as it was.
 *
 * @param onBlobsReleased called after the commit if there are bytes to be removed.
 * @throws DarkroomError FIELD_INVALID, IMAGE_NOT_FOUND, IMAGE_NOT_OWNED, ETAG_MISMATCH, IMAGE_PROTECTED
 */
export async function deleteImage(
  database: Database,
  caller: Caller,
  request: DeleteImageRequest,
  onBlobsReleased: () => void,
): Promise<ImageView> {
  const id = parseId<ImageId>(request.imageId, 'image_id');
  const outcome = await database.fork().transactional(async (em) => {
    const image = await lockImage(em, caller, id);
    if (image.state === 'DELETED') {
      return { view: await viewImage(em, image), releasedBlobs: 0 };
    }
    requireEtag(image, request.etag);
    requireUnprotected(image);
    const now = await databaseTime(em);
    await failLiveTask(em, image, caller, now);
    const releasedBlobs = await releaseBlobs(em, image, now);
    await em.nativeDelete(ImportOrder, { imageId: image.id });
    await em.nativeDelete(ImageMember, { imageId: image.id });
    image.state = 'DELETED';
    image.outlook = 'NOT_COMING';
    image.deleteTime = now;
    image.updateTime = now;
    image.version += 1;
    // The fault of the live task is read back with the image.
    await em.flush();
    return { view: await viewImage(em, image), releasedBlobs };
  });
  if (outcome.releasedBlobs > 0) {
    onBlobsReleased();
  }
  return outcome.view;
}

function requireUnprotected({ id, protected: isProtected }: Image): void {
  if (isProtected) {
    throw new DarkroomError(
      'IMAGE_PROTECTED',
      `Image ${id} is protected from being deleted. Unset its field protected by UpdateImage first, if it is to go.`,
      { metadata: { image_id: id } },
    );
  }
}

async function failLiveTask(
  em: EntityManager,
  image: Image,
  caller: Caller,
  now: Date,
): Promise<void> {
  const entry = await lockLiveTask(em, image, now);
  // A task whose time had passed before failed of that.
  if (entry && !entry.expireIfDue()) {
    entry.fail(
      faultOf(
        new DarkroomError(
          'IMAGE_DELETED',
          `The image was deleted by user ${caller.userId} while the task was ${entry.task.state}, with ` +
            `${entry.task.committedSize} bytes stored. Create a new image to try again.`,
        ),
      ),
    );
  }
}

async function releaseBlobs(em: EntityManager, image: Image, now: Date): Promise<number> {
  const holders = await em.find(
    Task,
    { imageId: image.id, blobId: { $ne: null } },
    { lockMode: LockMode.PESSIMISTIC_WRITE, orderBy: { id: 'asc' } },
  );
  const released = new Set<BlobId>();
  for (const holder of [image, ...holders]) {
    if (holder.blobId) {
      released.add(holder.blobId);
      holder.blobId = null;
    }
  }
  if (released.size > 0) {
    await em.nativeUpdate(
      Blob,
      { id: { $in: [...released] } },
      { state: 'DELETING', updateTime: now },
    );
  }
  return released.size;
}
