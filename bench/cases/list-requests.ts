import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { Image_DiskFormat, Image_Outlook, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { ImageOrder, ListImagesRequestSchema } from '../../gen/darkroom/v1/image_service_pb.ts';
import { Task_State, Task_Type } from '../../gen/darkroom/v1/task_pb.ts';
import { ListTasksRequestSchema, TaskOrder } from '../../gen/darkroom/v1/task_service_pb.ts';
import type { ManyTasks } from '../seed/many-tasks.ts';

/** One list that is asked for. */
export interface ListCase {
  readonly name: string;
  /** `<package>.<service>/<method>` */
  readonly method: string;
  readonly message: Uint8Array;
}

/** Lists that an operator, a console or a compute service asks for; pages of 100, as by default. */
export function listCases({ imageId, instance, hour }: ManyTasks): ListCase[] {
  const [createdAfter, createdBefore] = [timestampFromDate(hour.from), timestampFromDate(hour.to)];
  return [
    tasks('all', {}),
    tasks('by update time', { orderBy: TaskOrder.UPDATE_TIME_DESC }),
    tasks('FAILED', { filter: { states: [Task_State.FAILED] } }),
    tasks('RUNNING (0.4 %)', { filter: { states: [Task_State.RUNNING] } }),
    tasks('SNAPSHOT', { filter: { types: [Task_Type.SNAPSHOT] } }),
    tasks('of one image', { filter: { imageId } }),
    tasks('of one instance, by label', { filter: { labels: { instance } } }),
    tasks('of one hour', { filter: { createdAfter, createdBefore } }),
    tasks('SUCCEEDED with faults (none)', {
      filter: { states: [Task_State.SUCCEEDED], hasFaults: true },
    }),
    images('all', {}),
    images('QUEUED that will never come', {
      filter: { states: [Image_State.QUEUED], outlooks: [Image_Outlook.NOT_COMING] },
    }),
    images('by name', { orderBy: ImageOrder.NAME_ASC }),
    images('by size', { orderBy: ImageOrder.SIZE_DESC }),
    images('by a prefix of the name', { filter: { namePrefix: 'image-00012' } }),
    images('by tag (0.1 %)', { filter: { tags: ['tag-42'] } }),
    images('by property', { filter: { properties: { build: '1234' } } }),
    images('ISO (none)', { filter: { diskFormats: [Image_DiskFormat.ISO] } }),
  ];
}

function tasks(name: string, request: MessageInitShape<typeof ListTasksRequestSchema>): ListCase {
  return {
    name: `ListTasks ${name}`,
    method: 'darkroom.v1.TaskService/ListTasks',
    message: toBinary(ListTasksRequestSchema, create(ListTasksRequestSchema, request)),
  };
}

function images(name: string, request: MessageInitShape<typeof ListImagesRequestSchema>): ListCase {
  return {
    name: `ListImages ${name}`,
    method: 'darkroom.v1.ImageService/ListImages',
    message: toBinary(ListImagesRequestSchema, create(ListImagesRequestSchema, request)),
  };
}
