import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { readSettings } from '../../src/config/settings.ts';
import type { Database } from '../../src/database/database.ts';
import type { Caller } from '../../src/access/caller.ts';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import { newId, type BlobId, type ImageId } from '../../src/records/ids.ts';
import {
  allImages,
  type CreateImageRequest,
  type ImageFilter,
  type ListImagesRequest,
  type ImageFields,
  type UpdateImageRequest,
} from '../../src/images/image-requests.ts';
import type { NewImageSettings } from '../../src/images/new-image.ts';
import { ImageService } from '../../src/images/image-service.ts';
import { Image, type ImageState } from '../../src/records/image.ts';
import { ReachPolicy } from '../../src/imports/reach-policy.ts';
import { testSecretKeys } from '../support/secret-keys.ts';
import { connectTestDatabase, useDatabase } from '../support/test-database.ts';

/** The largest image that the services of these tests take, in bytes. */
export const maxImageBytes = 1_000_000;

export const alice: Caller = { projectId: 'darkroom-a', userId: 'alice', role: 'member' };
export const bob: Caller = { projectId: 'darkroom-b', userId: 'bob', role: 'member' };

interface ImagesWorld {
  readonly database: Database;
  readonly images: ImageService;
}

/** An image service on a database that all tests of the file share; opens one once they run. */
export function useImages(): (onBlobsReleased?: () => void) => ImagesWorld {
  const database = useDatabase();
  return (onBlobsReleased) => imagesOn(database(), onBlobsReleased);
}

/** An image service on a database of the running test's own. */
export async function openOwnImages(onBlobsReleased?: () => void): Promise<ImagesWorld> {
  return imagesOn(await connectTestDatabase(), onBlobsReleased);
}

/** An image service on a database, as a process of its own has it. */
export function imagesOn(
  database: Database,
  onBlobsReleased = (): void => {},
  changed: Partial<NewImageSettings> = {},
): ImagesWorld {
  const settings: NewImageSettings = {
    maxImageBytes,
    taskIdleTimeoutMs: 60_000,
    publicImagesBy: 'members',
    ...changed,
  };
  const reach = new ReachPolicy(readSettings({}));
  return {
    database,
    images: new ImageService({
      database,
      settings,
      reach,
      secretKeys: testSecretKeys,
      onBlobsReleased,
    }),
  };
}

/** A request for a small image, changed as a test needs it. */
export function newImage(
  image: Partial<ImageFields> = {},
  rest: Partial<Omit<CreateImageRequest, 'image'>> = {},
): CreateImageRequest {
  return {
    image: {
      name: 'ubuntu',
      diskFormat: 'RAW',
      containerFormat: undefined,
      minDiskBytes: 0,
      minRamBytes: 0,
      properties: {},
      tags: [],
      visibility: undefined,
      protected: false,
      hidden: false,
      ...image,
    },
    imageId: '',
    projectId: '',
    source: { kind: 'upload', totalSize: undefined, sha256: undefined },
    requestId: '',
    idleTimeoutMs: undefined,
    ...rest,
  };
}

/** A request for a list, with no filter but what a test sets. */
export function listOf(
  filter: Partial<ImageFilter> = {},
  rest: Partial<Omit<ListImagesRequest, 'filter'>> = {},
): ListImagesRequest {
  return {
    filter: { ...allImages, ...filter },
    order: undefined,
    pageSize: 0,
    pageToken: '',
    ...rest,
  };
}

/** A change of an image; the paths are those of the values that a test sets. */
export function change(
  imageId: string,
  values: Partial<UpdateImageRequest['values']>,
  etag = '',
): UpdateImageRequest {
  return {
    imageId,
    etag,
    paths: Object.keys(values).map((key) => key.replaceAll(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)),
    values: { ...newImage().image, deactivated: false, projectId: '', ...values },
  };
}

/** What a stored image is to be like. */
export interface StoredImage {
  readonly name?: string;
  readonly state?: ImageState;
  readonly outlook?: Image['outlook'];
  readonly sizeBytes?: number;
  readonly diskFormat?: Image['diskFormat'];
  readonly visibility?: Image['visibility'];
  readonly protected?: boolean;
  readonly hidden?: boolean;
  readonly deactivated?: boolean;
  readonly containerFormat?: Image['containerFormat'];
  readonly minDiskBytes?: number;
  readonly minRamBytes?: number;
  readonly tags?: string[];
  readonly properties?: Record<string, string>;
  readonly createTime?: Date;
  readonly updateTime?: Date;
}

/** Stores images as they would be after a life of their own, without tasks. */
export async function storeImages(
  database: Database,
  specs: readonly StoredImage[],
  owner = alice,
): Promise<ImageId[]> {
  return database.fork().transactional(async (em) => {
    const ids: ImageId[] = [];
    for (const spec of specs) {
      const id = newId<ImageId>();
      const state = spec.state ?? 'ACTIVE';
      const time = spec.createTime ?? new Date(1_700_000_000_000);
      const blobId = state === 'ACTIVE' ? newId<BlobId>() : null;
      if (blobId) {
        await em.execute(`insert into blobs (id, state) values (?, 'PUBLISHED')`, [blobId]);
      }
      em.persist(
        em.create(Image, {
          id,
          projectId: owner.projectId,
          createdBy: 'test',
          name: spec.name ?? 'image',
          diskFormat: spec.diskFormat ?? 'RAW',
          containerFormat: spec.containerFormat ?? 'BARE',
          state,
          outlook: spec.outlook ?? outlooks[state],
          sizeBytes: spec.sizeBytes ?? (state === 'ACTIVE' ? 1 : null),
          sha256: state === 'ACTIVE' ? '0'.repeat(64) : null,
          minDiskBytes: spec.minDiskBytes ?? 0,
          minRamBytes: spec.minRamBytes ?? 0,
          properties: spec.properties ?? {},
          tags: spec.tags ?? [],
          visibility: spec.visibility ?? 'PRIVATE',
          protected: spec.protected ?? false,
          hidden: spec.hidden ?? false,
          deactivated: spec.deactivated ?? false,
          blobId,
          version: 1,
          createTime: time,
          updateTime: spec.updateTime ?? time,
          deleteTime: state === 'DELETED' ? time : null,
        }),
      );
      ids.push(id);
    }
    return ids;
  });
}

const outlooks = { QUEUED: 'EXPECTED', ACTIVE: 'AVAILABLE', DELETED: 'NOT_COMING' } as const;

/** The error with which a call fails; nothing but a DarkroomError passes. */
export async function failureOf(call: Promise<unknown>): Promise<DarkroomError> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DarkroomError);
  return error as DarkroomError;
}

/** The fields that a call is refused for. */
export async function refusedFields(call: Promise<unknown>): Promise<string[]> {
  const error = await failureOf(call);
  expect(error.reason).toBe('FIELD_INVALID');
  return error.fieldViolations.map((violation) => violation.field);
}

/** An id that no row has. */
export function unknownId(): string {
  return randomUUID();
}
