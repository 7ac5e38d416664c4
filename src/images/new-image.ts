import { DarkroomError } from '../domain/darkroom-error.ts';
import { FieldChecks } from '../domain/field-checks.ts';
import { fingerprint } from '../domain/fingerprint.ts';
import type { Settings } from '../config/settings.ts';
import type { NewTask } from '../tasks/open-task.ts';
import {
  checkIdleTimeout,
  checkLabels,
  checkName,
  checkProperties,
  checkRequestId,
  checkSha256,
  checkSize,
  checkTags,
  checkVisibility,
} from './image-limits.ts';
import type { CreateImageRequest, ImageSource } from './image-requests.ts';
import {
  containerFormats,
  diskFormats,
  type ContainerFormat,
  type DiskFormat,
  type Visibility,
} from './image.ts';

/** The settings that bear on new images. */
export type NewImageSettings = Pick<Settings, 'maxImageBytes' | 'taskIdleTimeoutMs'>;

/** What a new image and its first task are made of, checked. */
export interface NewImage {
  readonly fields: {
    readonly name: string;
    readonly diskFormat: DiskFormat;
    readonly containerFormat: ContainerFormat;
    readonly minDiskBytes: number;
    readonly minRamBytes: number;
    readonly properties: Record<string, string>;
    readonly tags: string[];
    readonly visibility: Visibility;
  };
  readonly task: Omit<NewTask, 'cause'>;
  /** With a request id: tells a repeated request from another one with the same id. */
  readonly requestDigest: string | null;
}

/**
 * Checks all of a request, so that its sender learns of everything that is wrong at once.
 *
 * @throws DarkroomError FIELD_INVALID; UNSUPPORTED for a source that is not taken yet.
 */
export function parseNewImage(request: CreateImageRequest, settings: NewImageSettings): NewImage {
  const { image, source, requestId, idleTimeoutMs } = request;
  if (source?.kind === 'copy_from') {
    throw new DarkroomError(
      'UNSUPPORTED',
      'The source copy_from is not taken yet, imports come later: create the image with the source ' +
        'upload and stream the bytes in.',
    );
  }
  const checks = new FieldChecks();
  checkName(checks, 'image.name', image.name);
  const diskFormat =
    image.diskFormat === undefined
      ? missing(checks, 'image.disk_format', `must be set to one of ${diskFormats.join(', ')}`)
      : checks.oneOf('image.disk_format', image.diskFormat, diskFormats);
  const containerFormat = checks.oneOf(
    'image.container_format',
    image.containerFormat ?? 'BARE',
    containerFormats,
  );
  checkSize(checks, 'image.min_disk_bytes', image.minDiskBytes);
  checkSize(checks, 'image.min_ram_bytes', image.minRamBytes);
  const visibility = checkVisibility(checks, 'image.visibility', image.visibility);
  checkRequestId(checks, 'request_id', requestId);
  if (idleTimeoutMs !== undefined) {
    checkIdleTimeout(checks, 'idle_timeout', idleTimeoutMs);
  }
  const stated = parseSource(checks, source, settings.maxImageBytes);
  checkProperties(checks, 'image.properties', image.properties);
  checkTags(checks, 'image.tags', image.tags);
  const checked = checks.settle({ diskFormat, containerFormat, visibility, stated });

  const fields = {
    name: image.name,
    diskFormat: checked.diskFormat,
    containerFormat: checked.containerFormat,
    minDiskBytes: image.minDiskBytes,
    minRamBytes: image.minRamBytes,
    properties: { ...image.properties },
    tags: [...image.tags],
    visibility: checked.visibility,
  };
  return {
    fields,
    task: {
      ...checked.stated,
      requestId: requestId === '' ? null : requestId,
      idleTimeoutMs: Math.ceil(idleTimeoutMs ?? settings.taskIdleTimeoutMs),
    },
    // The timeout as it was sent: a new default does not make a repeated request another one.
    requestDigest:
      requestId === ''
        ? null
        : fingerprint({ fields, stated: checked.stated, idleTimeoutMs: idleTimeoutMs ?? null }),
  };
}

function parseSource(
  checks: FieldChecks,
  source: Exclude<ImageSource, { kind: 'copy_from' }> | undefined,
  maxImageBytes: number,
) {
  if (source === undefined) {
    return missing(checks, 'source', 'must be set to upload or snapshot');
  }
  if (source.totalSize !== undefined) {
    checkSize(checks, `${source.kind}.total_size`, source.totalSize, maxImageBytes);
  }
  if (source.sha256 !== undefined) {
    checkSha256(checks, `${source.kind}.sha256`, source.sha256);
  }
  const labels = source.kind === 'snapshot' ? source.labels : {};
  checkLabels(checks, 'snapshot.labels', labels);
  return {
    type: source.kind === 'snapshot' ? 'SNAPSHOT' : 'UPLOAD',
    labels: { ...labels },
    expectedSize: source.totalSize ?? null,
    expectedSha256: source.sha256?.toLowerCase() ?? null,
  } as const;
}

function missing(checks: FieldChecks, field: string, description: string): undefined {
  checks.add(field, description);
}
