import type {
  CreateImageRequest as CreateImageMessage,
  CreateImageRequest_CopyFrom,
  ImageFilter as ImageFilterMessage,
  ListImagesRequest as ListImagesMessage,
  UpdateImageRequest as UpdateImageMessage,
} from '../../../../gen/darkroom/v1/image_service_pb.ts';
import { ImageOrder } from '../../../../gen/darkroom/v1/image_service_pb.ts';
import { ImageMember_Status } from '../../../../gen/darkroom/v1/image_member_pb.ts';
import type { Image as ImageMessage } from '../../../../gen/darkroom/v1/image_pb.ts';
import {
  Image_ContainerFormat,
  Image_DiskFormat,
  Image_Outlook,
  Image_State,
  Image_Visibility,
} from '../../../../gen/darkroom/v1/image_pb.ts';
import type {
  CreateImageRequest,
  ImageFields,
  ImageFilter,
  ImageSource,
  ListImagesRequest,
  UpdateImageRequest,
} from '../../../images/image-requests.ts';
import { enumName, enumNames } from './enum-names.ts';
import { dateOf, millisecondsOf, numberOf } from './well-known-types.ts';

/** CreateImage as the domain takes it; fields that the service sets are left out. */
export function createImageRequest(message: CreateImageMessage): CreateImageRequest {
  const { image } = message;
  return {
    image: imageFields(image),
    imageId: message.imageId,
    projectId: message.projectId,
    source: imageSource(message.source),
    requestId: message.requestId,
    idleTimeoutMs: message.idleTimeout && millisecondsOf(message.idleTimeout),
  };
}

function imageSource(source: CreateImageMessage['source']): ImageSource | undefined {
  switch (source.case) {
    case 'upload':
      return {
        kind: 'upload',
        totalSize: numberOf(source.value.totalSize),
        sha256: source.value.sha256,
        decompress: source.value.decompress,
      };
    case 'snapshot':
      return {
        kind: 'snapshot',
        totalSize: numberOf(source.value.totalSize),
        sha256: source.value.sha256,
        decompress: source.value.decompress,
        labels: source.value.labels,
      };
    case 'copyFrom':
      return { kind: 'copy_from', ...copySource(source.value) };
    case undefined:
      return undefined;
  }
}

function copySource(message: CreateImageRequest_CopyFrom) {
  const { from, totalSize, sha256, sha512, maxSizeBytes, headers, decompress } = message;
  return {
    from:
      from.case === 'url'
        ? ({ kind: 'url', url: from.value } as const)
        : from.case === 'imageId'
          ? ({ kind: 'image', imageId: from.value } as const)
          : undefined,
    totalSize: numberOf(totalSize),
    sha256,
    sha512,
    maxSizeBytes: numberOf(maxSizeBytes),
    headers,
    decompress,
  };
}

// A request without an image is checked like one with an empty image: each field that is missing is named.
function imageFields(image: ImageMessage | undefined): ImageFields {
  return {
    name: image?.name ?? '',
    diskFormat: enumName(Image_DiskFormat, image?.diskFormat ?? 0),
    containerFormat: enumName(Image_ContainerFormat, image?.containerFormat ?? 0),
    minDiskBytes: numberOf(image?.minDiskBytes ?? 0n),
    minRamBytes: numberOf(image?.minRamBytes ?? 0n),
    properties: image?.properties ?? {},
    tags: image?.tags ?? [],
    visibility: enumName(Image_Visibility, image?.visibility ?? 0),
    protected: image?.protected ?? false,
    hidden: image?.hidden ?? false,
  };
}

/** ListImages as the domain takes it. */
export function listImagesRequest(message: ListImagesMessage): ListImagesRequest {
  return {
    filter: imageFilter(message.filter),
    order: enumName(ImageOrder, message.orderBy),
    pageSize: message.pageSize,
    pageToken: message.pageToken,
  };
}

function imageFilter(filter: ImageFilterMessage | undefined): ImageFilter {
  return {
    states: enumNames(Image_State, filter?.states ?? []),
    outlooks: enumNames(Image_Outlook, filter?.outlooks ?? []),
    ids: filter?.ids ?? [],
    name: filter?.name,
    names: filter?.names ?? [],
    namePrefix: filter?.namePrefix,
    diskFormats: enumNames(Image_DiskFormat, filter?.diskFormats ?? []),
    containerFormats: enumNames(Image_ContainerFormat, filter?.containerFormats ?? []),
    visibilities: enumNames(Image_Visibility, filter?.visibilities ?? []),
    tags: filter?.tags ?? [],
    properties: filter?.properties ?? {},
    createdAfter: filter?.createdAfter && dateOf(filter.createdAfter),
    createdBefore: filter?.createdBefore && dateOf(filter.createdBefore),
    updatedAfter: filter?.updatedAfter && dateOf(filter.updatedAfter),
    updatedBefore: filter?.updatedBefore && dateOf(filter.updatedBefore),
    minSizeBytes: numberOf(filter?.minSizeBytes),
    maxSizeBytes: numberOf(filter?.maxSizeBytes),
    projectId: filter?.projectId,
    memberStatuses: enumNames(ImageMember_Status, filter?.memberStatuses ?? []),
    hidden: filter?.hidden,
    protected: filter?.protected,
    deactivated: filter?.deactivated,
  };
}

/** UpdateImage as the domain takes it. */
export function updateImageRequest(message: UpdateImageMessage): UpdateImageRequest {
  const { image, updateMask } = message;
  return {
    imageId: image?.id ?? '',
    etag: image?.etag ?? '',
    paths: (updateMask?.paths ?? []).map(snakeCase),
    values: {
      ...imageFields(image),
      deactivated: image?.deactivated ?? false,
      projectId: image?.projectId ?? '',
    },
  };
}

/** A path of a mask. JSON spells it in camelCase, and some clients send it so in the binary form too. */
export function snakeCase(path: string): string {
  return path.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
