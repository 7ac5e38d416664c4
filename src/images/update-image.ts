import { isDeepStrictEqual } from 'node:util';
import type { Database } from '../database/database.ts';
import type { Caller } from '../access/caller.ts';
import { DarkroomError } from '../domain/darkroom-error.ts';
import { FieldChecks } from '../domain/field-checks.ts';
import { parseId, type ImageId } from '../records/ids.ts';
import { quoted } from '../domain/quoted.ts';
import { databaseTime } from '../database/database-time.ts';
import { lockImage } from '../access/find-image.ts';
import { requireEtag } from './require-etag.ts';
import {
  checkName,
  checkProperties,
  checkSize,
  checkTags,
  checkVisibility,
} from '../records/field-limits.ts';
import type { ImageFields, UpdateImageRequest } from './image-requests.ts';
import { requireMayShow, type PublicSetting } from './may-be-public.ts';
import { viewImage, type ImageView } from './image-view.ts';
import type { Image } from '../records/image.ts';

type ImageChange = Partial<
  Pick<
    Image,
    'name' | 'minDiskBytes' | 'minRamBytes' | 'properties' | 'tags' | 'visibility' | 'protected'
  >
>;

/**
 * Changes the fields of an image that the request names. One that changes nothing keeps the etag.
 *
 * @throws DarkroomError FIELD_INVALID, IMAGE_NOT_FOUND, IMAGE_NOT_OWNED, IMAGE_STATE_INVALID, ETAG_MISMATCH,
 *   ROLE_INSUFFICIENT
 */
export async function updateImage(
  database: Database,
  settings: PublicSetting,
  caller: Caller,
  request: UpdateImageRequest,
): Promise<ImageView> {
  const checks = new FieldChecks();
  const imageId = checks.attempt(() => parseId<ImageId>(request.imageId, 'image.id'));
  const change = parseChange(checks, request.paths, request.values);
  const { imageId: id } = checks.settle({ imageId });
  return database.fork().transactional(async (em) => {
    const image = await lockImage(em, caller, id);
    if (image.state === 'DELETED') {
      throw new DarkroomError(
        'IMAGE_STATE_INVALID',
        `Image ${id} is DELETED since ${image.deleteTime?.toISOString()} and takes no more changes.`,
        { metadata: { image_id: id, state: image.state } },
      );
    }
    requireEtag(image, request.etag);
    if (changes(image, change)) {
      if (change.visibility !== image.visibility) {
        requireMayShow(caller, change.visibility, settings);
      }
      Object.assign(image, change);
      image.version += 1;
      image.updateTime = await databaseTime(em);
    }
    return viewImage(em, image);
  });
}

function parseChange(
  checks: FieldChecks,
  paths: readonly string[],
  values: ImageFields,
): ImageChange {
  const change: ImageChange = {};
  if (paths.length === 0) {
    checks.add('update_mask', `must name what is to change: ${changeable}`);
  }
  for (const path of new Set(paths)) {
    switch (path) {
      case 'name':
        checkName(checks, 'image.name', values.name);
        change.name = values.name;
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

const changeable = 'name, min_disk_bytes, min_ram_bytes, properties, tags, visibility, protected';
const fixedAtCreation = new Set(['disk_format', 'container_format']);
const setByService = new Set([
  'id',
  'project_id',
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
  if (fixedAtCreation.has(path)) {
    return `must not name ${path}, which is fixed when the image is created; it may name ${changeable}`;
  }
  if (setByService.has(path)) {
    return `must not name ${path}, which the service sets; it may name ${changeable}`;
  }
  return `must not name ${quoted(path)}; it may name ${changeable}`;
}
