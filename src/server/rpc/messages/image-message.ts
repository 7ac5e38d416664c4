import { create } from '@bufbuild/protobuf';
import type { Image as ImageMessage } from '../../../../gen/darkroom/v1/image_pb.ts';
import {
  ImageSchema,
  Image_ContainerFormat,
  Image_DiskFormat,
  Image_Outlook,
  Image_State,
  Image_Visibility,
} from '../../../../gen/darkroom/v1/image_pb.ts';
import type { Caller } from '../../../access/caller.ts';
import { isOwn } from '../../../access/rights.ts';
import { etagOf } from '../../../records/image-etag.ts';
import type { Image } from '../../../records/image.ts';
import type { Fault } from '../../../records/fault.ts';
import { faultMessageIfAny } from './fault-message.ts';
import { timestampOf } from './well-known-types.ts';

/**
 * An image as `caller` may see it.
 *
 * @param lastFault the fault that `image.lastFaultId` names; undefined where there is none any more.
 */
export function imageMessage(
  image: Image,
  lastFault: Fault | undefined,
  caller: Caller,
): ImageMessage {
  return create(ImageSchema, {
    id: image.id,
    projectId: image.projectId,
    name: image.name,
    diskFormat: Image_DiskFormat[image.diskFormat ?? 'UNSPECIFIED'],
    containerFormat: Image_ContainerFormat[image.containerFormat ?? 'UNSPECIFIED'],
    state: Image_State[image.state],
    outlook: Image_Outlook[image.outlook],
    sizeBytes: bigintIfAny(image.sizeBytes),
    virtualSizeBytes: bigintIfAny(image.virtualSizeBytes),
    sha256: image.sha256 ?? '',
    minDiskBytes: BigInt(image.minDiskBytes),
    minRamBytes: BigInt(image.minRamBytes),
    properties: image.properties,
    tags: image.tags,
    visibility: Image_Visibility[image.visibility],
    // Tasks are told to nobody but the project that owns them.
    latestTask: (isOwn(caller, image) && image.latestTaskId) || '',
    lastFault: faultMessageIfAny(lastFault, caller),
    etag: etagOf(image),
    createTime: timestampOf(image.createTime),
    updateTime: timestampOf(image.updateTime),
    deleteTime: timestampOf(image.deleteTime),
    protected: image.protected,
    hidden: image.hidden,
    deactivated: image.deactivated,
    packedFormat: image.packedFormat ?? undefined,
    packedSizeBytes: bigintIfAny(image.packedSizeBytes),
    packedSha256: image.packedSha256 ?? undefined,
  });
}

function bigintIfAny(value: number | null | undefined): bigint | undefined {
  return value == null ? undefined : BigInt(value);
}
