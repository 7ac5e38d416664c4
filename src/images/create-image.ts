import {
  UniqueConstraintViolationException,
  type EntityClass,
  type RequiredEntityData,
} from '@mikro-orm/core';
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Database } from '../database/database.ts';
import type { Caller } from '../access/caller.ts';
import { visibleProject } from '../access/rights.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { newId, type ImageId } from '../records/ids.ts';
import { withQuotaErrors } from '../database/quota-exceeded.ts';
import { databaseTime } from '../database/database-time.ts';
import { readRuns } from '../database/read-runs.ts';
import { CollectedRows, TrackedRows } from '../tasks/ledger/ledger-rows.ts';
import { openTask } from '../tasks/ledger/open-task.ts';
import { placeOrder } from '../imports/new-order.ts';
import type { SecretKeys } from '../secrets/secret-keys.ts';
import type { ReachPolicy } from '../imports/reach-policy.ts';
import type { TaskSnapshot } from '../tasks/reading/task-reader.ts';
import { Task } from '../records/task.ts';
import type { CreateImageRequest } from './image-requests.ts';
import { readLastFaults, withLastFault } from '../tasks/reading/last-faults.ts';
import type { ImageView } from './image-view.ts';
import { Image } from '../records/image.ts';
import { insertImage } from './insert-image.ts';
import { requireMayShow } from './may-be-public.ts';
import { parseNewImage, type NewImage, type NewImageSettings } from './new-image.ts';

/** What CreateImage answers. */
export interface CreatedImage extends ImageView {
  /** The image's first task; undefined when a repeated request comes after the task was pruned. */
  readonly task: TaskSnapshot | undefined;
}

/**
 * Makes an image and the task that is to bring its bytes, in one transaction. A request that is
 * repeated with its request id, or with the id of the image, gets the same image and the same task, as they are by then.
 *
 * @param reach what imports may reach.
 * @param keys what an import sends to its source is encrypted by.
 * @throws DarkroomError FIELD_INVALID, ROLE_INSUFFICIENT, REQUEST_ID_REUSED, IMAGE_EXISTS, QUOTA_EXCEEDED; for an import
 *   SOURCE_FORBIDDEN, SOURCE_SCHEME_UNSUPPORTED, IMAGE_NOT_FOUND, IMAGE_STATE_INVALID.
 */
export async function createImage(
  database: Database,
  settings: NewImageSettings,
  reach: ReachPolicy,
  keys: SecretKeys,
  caller: Caller,
  request: CreateImageRequest,
): Promise<CreatedImage> {
  const spec = parseNewImage(request, settings, reach);
  requireMayShow(caller, spec.fields.visibility, settings);
  return spec.order || spec.id
    ? createUnderLocks(database, keys, caller, spec)
    : createAtOnce(database, caller, spec);
}

/** By one statement. */
async function createAtOnce(
  database: Database,
  caller: Caller,
  spec: NewImage,
): Promise<CreatedImage> {
  // The database's time is known once it has written.
  const unknown = new Date(0);
  const rows = new CollectedRows();
  const image = rows.add(Image, newImage(caller, spec, unknown));
  const task = openTask(rows, image, caller, unknown, {
    ...spec.task,
    cause: causeOf(caller, spec),
  });
  const now = await insertImage(database, rows);
  if (now instanceof DarkroomError) {
    // A repeated request makes nothing, so no quota keeps its answer back.
    const made = await findEarlier(database, caller, spec);
    if (made) {
      return made;
    }
    throw now;
  }
  if (now) {
    Object.assign(image, { createTime: now, updateTime: now });
    const expireTime = new Date(now.getTime() + task.idleTimeoutMs);
    Object.assign(task, { createTime: now, updateTime: now, expireTime });
    return { image, lastFault: undefined, task: { task, lastFault: undefined } };
  }
  const earlier = await findEarlier(database, caller, spec);
  if (!earlier) {
    throw new DarkroomError(
      'INTERNAL',
      'An image with this request_id was there, and then was not.',
    );
  }
  return earlier;
}

/**
 * In a transaction of its own: a source that is an image is looked at in it, and of images with the same id all but one
 * fail.
 */
async function createUnderLocks(
  database: Database,
  keys: SecretKeys,
  caller: Caller,
  spec: NewImage,
): Promise<CreatedImage> {
  const earlier = await findEarlier(database, caller, spec);
  if (earlier) {
    return earlier;
  }
  try {
    const created = await withQuotaErrors(
      database.fork().transactional((em) => insertUnderLocks(em, keys, caller, spec)),
    );
    return { ...created, lastFault: undefined };
  } catch (error) {
    // Of two requests with one id at the same time, the second waits for the first one's commit at
    // the unique index, and gets here. Its EntityManager has failed and is dropped.
    if (error instanceof UniqueConstraintViolationException) {
      const winner = await findEarlier(database, caller, spec);
      if (winner) {
        return winner;
      }
    }
    throw error;
  }
}

async function insertUnderLocks(
  em: EntityManager,
  keys: SecretKeys,
  caller: Caller,
  spec: NewImage,
): Promise<{ image: Image; task: TaskSnapshot }> {
  const now = await databaseTime(em);
  const rows = new TrackedRows(em, now);
  const image = rows.add(Image, newImage(caller, spec, now));
  const copied = spec.order && (await placeOrder(em, keys, caller, image.id, spec.order, now));
  const task = openTask(rows, image, caller, now, {
    ...spec.task,
    expectedSize: spec.task.expectedSize ?? copied?.sizeBytes ?? null,
    expectedSha256: spec.task.expectedSha256 ?? copied?.sha256 ?? null,
    cause: causeOf(caller, spec),
  });
  return { image, task: { task, lastFault: undefined } };
}

function newImage(caller: Caller, spec: NewImage, now: Date): RequiredEntityData<Image> {
  return {
    ...spec.fields,
    id: spec.id ?? newId<ImageId>(),
    projectId: caller.projectId,
    createdBy: caller.userId,
    state: 'QUEUED',
    outlook: 'EXPECTED',
    deactivated: false,
    requestId: spec.task.requestId,
    requestDigest: spec.requestDigest,
    version: 1,
    createTime: now,
    updateTime: now,
  };
}

function causeOf(caller: Caller, { task: { type } }: NewImage): string {
  return `Created for ${purposes[type]} by user ${caller.userId}`;
}

const purposes = { UPLOAD: 'an upload', SNAPSHOT: 'a snapshot', IMPORT: 'an import' } as const;

async function findEarlier(
  database: Database,
  caller: Caller,
  spec: NewImage,
): Promise<CreatedImage | undefined> {
  const { requestId } = spec.task;
  const projectId = visibleProject(caller);
  const ofRequest =
    requestId === null
      ? undefined
      : await readOne<Image>(database, Image, caller, 'project_id = ? and request_id = ?', [
          projectId,
          requestId,
        ]);
  const image = ofRequest ?? (spec.id && (await findOfId(database, caller, spec.id)));
  if (!image) {
    return undefined;
  }
  if (!ofRequest) {
    requireSame(image, spec);
  } else if (image.requestDigest !== spec.requestDigest) {
    throw new DarkroomError(
      'REQUEST_ID_REUSED',
      `The request_id made image ${image.id} at ${image.createTime.toISOString()}, with other content ` +
        'than this request has. Repeat that request unchanged, or take a new request_id.',
      { metadata: { image_id: image.id } },
    );
  }
  const task = await readOne<Task>(database, Task, caller, 'image_id = ? and attempt = ?', [
    image.id,
    1,
  ]);
  const faults = await readLastFaults(database, caller, task ? [image, task] : [image]);
  return {
    image,
    lastFault: image.lastFaultId ? faults.get(image.lastFaultId) : undefined,
    task: task ? withLastFault(task, faults) : undefined,
  };
}

/**
 * The caller's image of an id. Of others' nothing is read but that there is one, for an id is given only once.
 *
 * @throws DarkroomError IMAGE_EXISTS where another project has it.
 */
async function findOfId(
  database: Database,
  caller: Caller,
  id: ImageId,
): Promise<Image | undefined> {
  const { rowCount } = await database.run({
    name: 'image of an id',
    text: 'select from images where id = $1',
    values: [id],
  });
  if (rowCount === 0) {
    return undefined;
  }
  // After it: the same request may be making it just now.
  const own = await readOne<Image>(database, Image, caller, 'id = ? and project_id = ?', [
    id,
    visibleProject(caller),
  ]);
  if (own === undefined) {
    throw imageExists(id, isTaken(id));
  }
  return own;
}

/** Reads a row of the caller's by the values of a unique index, behind the second wall. */
async function readOne<T extends object>(
  database: Database,
  entity: EntityClass<T>,
  caller: Caller,
  sql: string,
  values: readonly (string | number)[],
): Promise<T | undefined> {
  const [found] = await readRuns(database, entity, visibleProject(caller), {
    name: sql,
    isPrepared: true,
    runs: [{ sql, values }],
    orderBy: 'id',
    limit: 1,
  });
  return found?.row;
}

/** @throws DarkroomError IMAGE_EXISTS unless the request is the one that made the image, which is still there. */
function requireSame({ id, state, ...image }: Readonly<Image>, { requestDigest }: NewImage): void {
  if (image.requestDigest !== requestDigest) {
    throw imageExists(id, isTaken(id));
  }
  if (state === 'DELETED') {
    throw imageExists(
      id,
      `Image ${id} was made by this request and deleted since. No other image gets its id: take a new one.`,
    );
  }
}

function isTaken(id: ImageId): string {
  return `There is an image ${id} already, or there was one. Take another id, or leave it to the service.`;
}

function imageExists(id: ImageId, message: string): DarkroomError {
  return new DarkroomError('IMAGE_EXISTS', message, { metadata: { image_id: id } });
}
