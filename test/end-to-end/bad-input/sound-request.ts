import type { DescMethod, JsonObject } from '@bufbuild/protobuf';
import type { ImageAndTask } from './case.ts';

const everyChange =
  'name,diskFormat,containerFormat,minDiskBytes,minRamBytes,properties,tags,visibility,protected,hidden';

/** A request in which all is sound, about a queued image; of a stream, its first message. */
export function soundRequest(method: DescMethod, { imageId, taskId }: ImageAndTask): JsonObject {
  const byName: Record<string, JsonObject> = {
    CreateImage: { image: { name: 'any', diskFormat: 'DISK_FORMAT_RAW' }, upload: {} },
    UpdateImage: {
      image: {
        id: imageId,
        name: 'queued',
        diskFormat: 'DISK_FORMAT_RAW',
        containerFormat: 'CONTAINER_FORMAT_BARE',
      },
      updateMask: everyChange,
    },
    AddImageMember: { imageId, memberProjectId: 'other' },
    GetImageMember: { imageId, memberProjectId: 'other' },
    UpdateImageMember: {
      member: { imageId, memberProjectId: 'default', status: 'STATUS_ACCEPTED' },
      updateMask: 'status',
    },
    RemoveImageMember: { imageId, memberProjectId: 'other' },
    GetQuota: {},
    UpdateQuota: { projectId: 'other', limits: { images: 5 }, updateMask: 'images' },
    UploadImage: { header: { taskId } },
    UploadChunk: { taskId, data: 'AA==' },
    ListTasks: {},
    WatchTasks: {},
    ListFaults: {},
    ListImages: {},
    ReportFault: { taskId, code: 'INTERNAL', reason: 'ANY', message: 'any' },
  };
  const isOfImage = method.input.fields.some(({ name }) => name === 'image_id');
  return byName[method.name] ?? (isOfImage ? { imageId } : { taskId });
}
