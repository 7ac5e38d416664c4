import { isDeepStrictEqual } from 'node:util';
import type { Database } from '../database/database.ts';
import type { Caller } from '../access/caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { FieldChecks } from '../domain/field-checks.ts';
import { parseId, type ImageId } from '../records/ids.ts';
import { quoted } from '../domain/quoted.ts';
import { databaseTime } from '../database/database-time.ts';
import { lockImage } from '../access/find-image.ts';
import { withQuotaErrors } from '../database/quota-exceeded.ts';
import { giveImage } from './give-image.ts';
import { requireEtag } from './require-etag.ts';
import {
  checkFormat,
  checkName,
  checkProjectId,
  checkProperties,
  checkSize,
  checkTags,
  checkVisibility,
} from '../records/field-limits.ts';
import { requireFormatsOpen, type Formats } from './change-formats.ts';
import type { UpdateImageRequest } from './image-requests.ts';
import { requireMayShow, type PublicSetting } from './may-be-public.ts';
import { viewImage, type ImageView } from './image-view.ts';
import { containerFormats, diskFormats, type Image } from '../records/image.ts';

type ImageChange = Partial<
  Pick<
    Image,
    | 'projectId'
    | 'name'
    | 'diskFormat'
    | 'containerFormat'
    | 'minDiskBytes'
    | 'minRamBytes'
    | 'properties'
    | 'tags'
    | 'visibility'
    | 'protected'
    | 'hidden'
    | 'deactivated'
  >
>;

/** What is to change of an image: the values of these paths. */
export type ImageChangeRequest = Pick<UpdateImageRequest, 'paths' | 'values'>;

/**
 * Changes the fields of an image that the request names. One that changes nothing keeps the etag.
 *
 * @throws DarkroomError FIELD_INVALID, IMAGE_NOT_FOUND, IMAGE_NOT_OWNED, IMAGE_STATE_INVALID, ETAG_MISMATCH,
 *   ROLE_INSUFFICIENT, PROJECT_NOT_ALLOWED, QUOTA_EXCEEDED
 */
export async function updateImage(
  database: Database,
  settings: PublicSetting,
  caller: Caller,
  request: UpdateImageRequest,
): Promise<ImageView> {
  const checks = new FieldChecks();
  const imageId = checks.attempt(() => parseId<ImageId>(request.imageId, 'image.id'));
  if (request.paths.length === 0) {
    checks.add('update_mask', `must name what is to change: ${changeable}`);
  }
  const change = parseChange(checks, request);
  const { imageId: id } = checks.settle({ imageId });
  return changeImage(database, settings, caller, id, request.etag, () => change);
}

/**
 * The same, where what changes is decided by what there is: nobody else changes the image in between.
 *
 * @param decide is given the image, which it must not change; what it throws goes to the caller.
 * @throws DarkroomError as `updateImage`.
 */
export async function updateImageAsItIs(
  database: Database,
  settings: PublicSetting,
  caller: Caller,
  imageId: ImageId,
  decide: (image: Readonly<Image>) => ImageChangeRequest,
): Promise<ImageView> {
  return changeImage(database, settings, caller, imageId, '', (image) => {
    const checks = new FieldChecks();
    const change = parseChange(checks, decide(image));
    checks.settle({});
    return change;
  });
}

async function changeImage(
  database: Database,
  settings: PublicSetting,
  caller: Caller,
  id: ImageId,
  etag: string,
  decide: (image: Readonly<Image>) => ImageChange,
): Promise<ImageView> {
  return database.fork().transactional(async (em) => {
    const image = await lockImage(em, caller, id);
    if (image.state === 'DELETED') {
      throw new DarkroomError(
        'IMAGE_STATE_INVALID',
        `Image ${id} is DELETED since ${image.deleteTime?.toISOString()} and takes no more changes.`,
        { metadata: { image_id: id, state: image.state } },
      );
    }
    requireEtag(image, etag);
    const change = decide(image);
    if (changes(image, change)) {
      if (change.visibility !== image.visibility) {
        requireMayShow(caller, change.visibility, settings);
      }
      requireActive(image, change);
      const formats = formatsAfter(image, change);
      if (changes(image, formats)) {
        await requireFormatsOpen(em, image, formats);
      }
      if (change.projectId !== undefined && change.projectId !== image.projectId) {
        await withQuotaErrors(giveImage(em, caller, image, change.projectId));
        // It was chosen among those of the project that has given it.
        image.requestId = null;
      }
      Object.assign(image, change);
      image.version += 1;
      image.updateTime = await databaseTime(em);
    }
    return viewImage(em, image);
  });
}

function formatsAfter(image: Image, change: ImageChange): Formats {
  const { diskFormat = image.diskFormat, containerFormat = image.containerFormat } = change;
  return { diskFormat, containerFormat };
}

/** @throws DarkroomError IMAGE_STATE_INVALID */
function requireActive({ id, state }: Image, { deactivated }: ImageChange): void {
  if (deactivated === true && state !== 'ACTIVE') {
    throw new DarkroomError(
      'IMAGE_STATE_INVALID',
      `Image ${id} is ${state}, and only an ACTIVE one can be deactivated: there are no bytes to keep from anybody.`,
      { metadata: { image_id: id, state } },
    );
  }
}

function parseChange(checks: FieldChecks, { paths, values }: ImageChangeRequest): ImageChange {
  const change: ImageChange = {};
  for (const path of new Set(paths)) {
    switch (path) {
      case 'project_id':
        checkProjectId(checks, 'image.project_id', values.projectId);
        change.projectId = values.projectId;
        break;
      case 'name':
        checkName(checks, 'image.name', values.name);
        change.name = values.name;
        break;
      case 'disk_format':
        change.diskFormat =
          checkFormat(checks, 'image.disk_format', values.diskFormat, diskFormats) ?? null;
        break;
      case 'container_format':
        change.containerFormat =
          checkFormat(checks, 'image.container_format', values.containerFormat, containerFormats) ??
          null;
        break;
      case 'min_disk_bytes':
        checkSize(checks, 'image.min_disk_bytes', values.minDiskBytes);
        change.minDiskBytes = values.minDiskBytes;
        break;
      case 'min_ram_bytes':
        checkSize(checks, 'image.min_ram_bytes', values.minRamBytes);
        change.minRamBytes = values.minRamBytes;
        break;
      case 'properties':
        checkProperties(checks, 'image.properties', values.properties);
        change.properties = { ...values.properties };
        break;
      case 'tags':
        checkTags(checks, 'image.tags', values.tags);
        change.tags = [...values.tags];
        break;
      case 'visibility': {
        const visibility = checkVisibility(checks, 'image.visibility', values.visibility);
        if (visibility) {
          change.visibility = visibility;
        }
        break;
      }
      case 'protected':
        change.protected = values.protected;
        break;
      case 'hidden':
        change.hidden = values.hidden;
        break;
      case 'deactivated':
        change.deactivated = values.deactivated;
        break;
      default:
        checks.add('update_mask', describePath(path));
    }
  }
  return change;
}

function changes(image: Image, change: ImageChange): boolean {
  return Object.entries(change).some(
    ([field, value]) => !isDeepStrictEqual(image[field as keyof ImageChange], value),
  );
}

const changeable =
  'name, disk_format, container_format, min_disk_bytes, min_ram_bytes, properties, tags, visibility, protected, hidden, ' +
  'deactivated, project_id';
const setByService = new Set([
  'id',
  'state',
  'outlook',
  'size_bytes',
  'virtual_size_bytes',
  'sha256',
  'packed_format',
  'packed_size_bytes',
  'packed_sha256',
  'latest_task',
  'last_fault',
  'etag',
  'create_time',
  'update_time',
  'delete_time',
]);

function describePath(path: string): string {
  if (setByService.has(path)) {
    return `must not name ${path}, which the service sets; it may name ${changeable}`;
  }
  return `must not name ${quoted(path)}; it may name ${changeable}`;
}
