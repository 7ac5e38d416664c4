import type { Fault } from '../../records/fault.ts';
import type {
  ContainerFormat,
  DiskFormat,
  Image,
  ImageOutlook,
  Visibility,
} from '../../records/image.ts';
import { taskPath } from '../http/task-path.ts';
import type { ImageStatus } from './image-status.ts';
import { timeOf } from './task-view.ts';
import { storeId } from './upload/store.ts';

/** An image as Glance's API v2 tells it; besides these fields, its properties as fields of their own. */
export interface ImageView {
  readonly id: string;
  readonly name: string | null;
  readonly status: ImageStatus;
  readonly disk_format: Lowercase<DiskFormat> | null;
  readonly container_format: Lowercase<ContainerFormat> | null;
  /** Bytes; null until the image is active, as all that is known of its bytes. */
  readonly size: number | null;
  readonly virtual_size: number | null;
  /** An MD5, which nobody computes here. */
  readonly checksum: null;
  readonly os_hash_algo: 'sha256' | null;
  readonly os_hash_value: string | null;
  readonly os_hidden: boolean;
  /** Whether its bytes can be hoped for: what its status does not say. */
  readonly os_darkroom_outlook: Lowercase<ImageOutlook>;
  /** Where its newest task can be read; not there for other projects. */
  readonly os_darkroom_task?: string;
  /** The newest fault of its tasks, with its reason; the same. */
  readonly os_darkroom_fault?: string;
  /** Of the bytes that came, where the image is what was inside of them; not there otherwise. */
  readonly packed_format?: string;
  readonly packed_size?: string;
  readonly packed_sha256?: string;
  /** GiB. */
  readonly min_disk: number;
  /** MiB. */
  readonly min_ram: number;
  readonly visibility: Lowercase<Visibility>;
  readonly protected: boolean;
  readonly owner: string;
  readonly tags: readonly string[];
  readonly created_at: string;
  readonly updated_at: string;
  readonly self: string;
  readonly file: string;
  readonly schema: string;
}

/** Units, in bytes. */
export const MiB = 1024 ** 2;
export const GiB = 1024 ** 3;

/** Fields of Glance's and of the service's that are not told always. A property of such a name would be taken for them. */
const untold = new Set([
  'direct_url',
  'locations',
  'stores',
  'os_darkroom_task',
  'os_darkroom_fault',
]);

/** What is told of an image. */
export interface ShownImage {
  readonly image: Readonly<Image>;
  readonly status: ImageStatus;
  /** Whether the caller's project owns it: then it is told of its tasks. */
  readonly isOwn: boolean;
  readonly lastFault: Readonly<Fault> | undefined;
  /** How its import stands, where it waits for one or one has failed. */
  readonly importing?: 'pending' | 'failed' | undefined;
}

/** Where an image can be read. */
export function imagePath(id: string): string {
  return `/v2/images/${id}`;
}

/** Tells an image as Glance does. */
export function imageView({
  image,
  status,
  isOwn,
  lastFault,
  importing,
}: ShownImage): ImageView & Readonly<Record<string, unknown>> {
  const { id, sha256 } = image;
  const properties = Object.entries(image.properties).filter(([name]) => !untold.has(name));
  return {
    ...Object.fromEntries(properties),
    id,
    name: image.name === '' ? null : image.name,
    status,
    disk_format: image.diskFormat == null ? null : lowercase(image.diskFormat),
    container_format: image.containerFormat == null ? null : lowercase(image.containerFormat),
    size: image.sizeBytes ?? null,
    virtual_size: image.virtualSizeBytes ?? null,
    checksum: null,
    os_hash_algo: sha256 ? 'sha256' : null,
    os_hash_value: sha256 ?? null,
    os_hidden: image.hidden,
    // Whoever has less than this has too little, so a part of a unit counts as one.
    min_disk: Math.ceil(image.minDiskBytes / GiB),
    min_ram: Math.ceil(image.minRamBytes / MiB),
    visibility: lowercase(image.visibility),
    protected: image.protected,
    owner: image.projectId,
    tags: image.tags,
    created_at: timeOf(image.createTime),
    updated_at: timeOf(image.updateTime),
    self: imagePath(id),
    file: `${imagePath(id)}/file`,
    schema: '/v2/schemas/image',
    ...(image.state === 'ACTIVE' && { stores: storeId }),
    ...importView(importing),
    os_darkroom_outlook: lowercase(image.outlook),
    ...(isOwn && image.latestTaskId && { os_darkroom_task: taskPath(image.latestTaskId) }),
    ...(isOwn && lastFault && { os_darkroom_fault: `${lastFault.reason}: ${lastFault.message}` }),
    ...packedView(image),
  };
}

/** In which stores an import is to bring the image, and in which it could not, in the words of Glance. */
function importView(importing: ShownImage['importing']) {
  return importing === undefined
    ? {}
    : {
        os_glance_importing_to_stores: importing === 'pending' ? storeId : '',
        os_glance_failed_import: importing === 'failed' ? storeId : '',
      };
}

/** As texts, which is what Glance's clients take of a field that they do not know. */
function packedView({ packedFormat, packedSizeBytes, packedSha256 }: Readonly<Image>) {
  return packedFormat == null
    ? {}
    : {
        packed_format: packedFormat,
        packed_size: String(packedSizeBytes),
        packed_sha256: packedSha256 ?? '',
      };
}

function lowercase<Text extends string>(text: Text): Lowercase<Text> {
  return text.toLowerCase() as Lowercase<Text>;
}
