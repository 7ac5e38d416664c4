import { FieldChecks } from '../domain/field-checks.ts';
import { fingerprint } from '../domain/fingerprint.ts';
import type { Settings } from '../config/settings.ts';
import { parseOrder, type NewOrder } from '../imports/new-order.ts';
import type { ReachPolicy } from '../imports/reach-policy.ts';
import type { NewTask } from '../tasks/ledger/open-task.ts';
import {
  checkFormat,
  checkIdleTimeout,
  checkLabels,
  checkName,
  checkProperties,
  checkRequestId,
  checkSha256,
  checkSize,
  checkTags,
  checkVisibility,
} from '../records/field-limits.ts';
import type { CreateImageRequest, ImageFields, ImageSource } from './image-requests.ts';
import type { PublicSetting } from './may-be-public.ts';
import { parseId, type ImageId } from '../records/ids.ts';
import {
  containerFormats,
  diskFormats,
  type ContainerFormat,
  type DiskFormat,
  type Visibility,
} from '../records/image.ts';

/** The settings that bear on new images. */
export type NewImageSettings = Pick<Settings, 'maxImageBytes' | 'taskIdleTimeoutMs'> &
  PublicSetting;

/** What a new image and its first task are made of, checked. */
export interface NewImage {
  readonly fields: {
    readonly name: string;
    readonly diskFormat: DiskFormat | null;
    readonly containerFormat: ContainerFormat | null;
    readonly minDiskBytes: number;
    readonly minRamBytes: number;
    readonly properties: Record<string, string>;
    readonly tags: string[];
    readonly visibility: Visibility;
    readonly protected: boolean;
    readonly hidden: boolean;
  };
  /** What its maker wants it to have; undefined for one that is made here. */
  readonly id: ImageId | undefined;
  readonly task: Omit<NewTask, 'cause'>;
  /** What the service is to fetch; undefined where a client sends the bytes. */
  readonly order: NewOrder | undefined;
  /** With a request id, or an id: tells a repeated request from another one with the same id. */
  readonly requestDigest: string | null;
}

/**
 * Checks all of a request, so that its sender learns of everything that is wrong at once.
 *
 * @throws DarkroomError FIELD_INVALID; SOURCE_FORBIDDEN, SOURCE_SCHEME_UNSUPPORTED.
 */
export function parseNewImage(
  request: CreateImageRequest,
  settings: NewImageSettings,
  reach: ReachPolicy,
): NewImage {
  const { image, source, requestId, idleTimeoutMs } = request;
  const checks = new FieldChecks();
  checkName(checks, 'image.name', image.name);
  const diskFormat = checkFormat(checks, 'image.disk_format', image.diskFormat, diskFormats);
  const containerFormat = checkFormat(
    checks,
    'image.container_format',
    image.containerFormat === undefined && image.diskFormat !== undefined
      ? 'BARE'
      : image.containerFormat,
    containerFormats,
  );
  const id =
    request.imageId === ''
      ? undefined
      : checks.attempt(() => parseId<ImageId>(request.imageId, 'image_id'));
  checkSize(checks, 'image.min_disk_bytes', image.minDiskBytes);
  checkSize(checks, 'image.min_ram_bytes', image.minRamBytes);
  const visibility = checkVisibility(checks, 'image.visibility', image.visibility);
  checkRequestId(checks, 'request_id', requestId);
  if (idleTimeoutMs !== undefined) {
    checkIdleTimeout(checks, 'idle_timeout', idleTimeoutMs);
  }
  const stated = parseSource(checks, source, settings.maxImageBytes, reach);
  if (stated !== undefined && (stated.order !== undefined || stated.task.decompress)) {
    requireFormats(checks, image);
  }
  const storedContainer = stated?.task.decompress
    ? containerOfContent(checks, containerFormat, source?.kind ?? 'upload')
    : containerFormat;
  checkProperties(checks, 'image.properties', image.properties);
  checkTags(checks, 'image.tags', image.tags);
  const checked = checks.settle({
    diskFormat,
    containerFormat: storedContainer,
    visibility,
    stated,
  });

  const fields = {
    name: image.name,
    diskFormat: checked.diskFormat,
    containerFormat: checked.containerFormat,
    minDiskBytes: image.minDiskBytes,
    minRamBytes: image.minRamBytes,
    properties: { ...image.properties },
    tags: [...image.tags],
    visibility: checked.visibility,
    protected: image.protected,
    hidden: image.hidden,
  };
  return {
    fields,
    id,
    order: checked.stated.order,
    task: {
      ...checked.stated.task,
      requestId: requestId === '' ? null : requestId,
      idleTimeoutMs: Math.ceil(idleTimeoutMs ?? settings.taskIdleTimeoutMs),
    },
    // The timeout as it was sent: a new default does not make a repeated request another one.
    requestDigest:
      requestId === '' && id === undefined
        ? null
        : fingerprint({
            // As it was before there were such fields, so that a request is known again after an update.
            fields: {
              ...fields,
              protected: fields.protected ? true : undefined,
              hidden: fields.hidden ? true : undefined,
            },
            id,
            ...fingerprintOf(checked.stated),
            idleTimeoutMs: idleTimeoutMs ?? null,
          }),
  };
}

/** What a request says of the bytes. */
interface StatedSource {
  readonly task: Pick<
    NewTask,
    | 'type'
    | 'labels'
    | 'expectedSize'
    | 'expectedSha256'
    | 'expectedSha512'
    | 'source'
    | 'decompress'
  >;
  readonly order: NewOrder | undefined;
}

function parseSource(
  checks: FieldChecks,
  source: ImageSource | undefined,
  maxImageBytes: number,
  reach: ReachPolicy,
): StatedSource | undefined {
  if (source === undefined) {
    return missing(checks, 'source', 'must be set to upload, snapshot or copy_from');
  }
  if (source.totalSize !== undefined) {
    checkSize(checks, `${source.kind}.total_size`, source.totalSize, maxImageBytes);
  }
  if (source.sha256 !== undefined) {
    checkSha256(checks, `${source.kind}.sha256`, source.sha256);
  }
  const expected = {
    expectedSize: source.totalSize ?? null,
    expectedSha256: source.sha256?.toLowerCase() ?? null,
    decompress: source.decompress ?? false,
  };
  if (source.kind === 'copy_from') {
    const order = parseOrder(checks, source, maxImageBytes, reach);
    return (
      order && {
        task: {
          ...expected,
          type: 'IMPORT',
          labels: {},
          expectedSha512: source.sha512?.toLowerCase() ?? null,
          source: order.name,
        },
        order,
      }
    );
  }
  const labels = source.kind === 'snapshot' ? source.labels : {};
  checkLabels(checks, 'snapshot.labels', labels);
  const type = source.kind === 'snapshot' ? 'SNAPSHOT' : 'UPLOAD';
  return {
    task: { ...expected, type, labels: { ...labels }, expectedSha512: null, source: null },
    order: undefined,
  };
}

/**
 * What the image is wrapped in once it was unpacked. An archive is not unpacked: which of its files is the disk
 * is for its owner to say.
 */
function containerOfContent(
  checks: FieldChecks,
  declared: ContainerFormat | null | undefined,
  source: ImageSource['kind'],
): ContainerFormat | null | undefined {
  if (declared && declared !== 'BARE' && declared !== 'COMPRESSED') {
    checks.add(
      `${source}.decompress`,
      `must not be set for container_format ${declared}, which is stored as it is: send the disk that is in it, compressed, ` +
        'with container_format BARE',
    );
    return declared;
  }
  return declared && 'BARE';
}

/**
 * For uploads as it was before there were imports, and for all as it was before anything was unpacked, so that a
 * request is known again after an update.
 */
function fingerprintOf({ task, order }: StatedSource) {
  const { type, labels, expectedSize, expectedSha256, expectedSha512, decompress } = task;
  const stated = {
    type,
    labels,
    expectedSize,
    expectedSha256,
    decompress: decompress ? true : undefined,
  };
  if (!order) {
    return { stated };
  }
  const { url, sourceImageId, headers, maxSize } = order;
  return { stated, order: { url, sourceImageId, headers, maxSize, expectedSha512 } };
}

/**
 * What is fetched, or is to be unpacked, is of a format that is known from the beginning: what a client sends may be said to
 * be of one until it begins.
 */
function requireFormats(checks: FieldChecks, image: ImageFields): void {
  if (image.diskFormat === undefined) {
    checks.add('image.disk_format', `must be set to one of ${diskFormats.join(', ')}`);
  }
  if (image.containerFormat === null) {
    checks.add('image.container_format', `must be set to one of ${containerFormats.join(', ')}`);
  }
}

function missing(checks: FieldChecks, field: string, description: string): undefined {
  checks.add(field, description);
}
