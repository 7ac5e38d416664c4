import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Client } from '@connectrpc/connect';
import { Image_DiskFormat } from '../../../gen/darkroom/v1/image_pb.ts';
import type {
  CreateImageRequestSchema,
  ImageService,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import type { TaskService } from '../../../gen/darkroom/v1/task_service_pb.ts';
import type { Failure } from '../../support/failures.ts';
import { uploadFrames } from '../../support/running-service.ts';

/** The clients of the protocol that a case is tried over. */
export interface Clients {
  readonly images: Client<typeof ImageService>;
  readonly tasks: Client<typeof TaskService>;
}

/** An image and its first task. */
export interface ImageAndTask {
  readonly imageId: string;
  readonly taskId: string;
}

/** What there is while the cases are tried, in every state that matters. */
export interface Standing {
  readonly queued: ImageAndTask;
  readonly active: ImageAndTask;
  readonly deleted: ImageAndTask;
  readonly cancelled: ImageAndTask;
  /** Goes on after the first page of all images. */
  readonly imagesToken: string;
}

/** A call with something wrong, and what its caller must be told. */
export type Case = readonly [
  name: string,
  call: (clients: Clients, standing: Standing) => Promise<unknown>,
  expected: Partial<Failure>,
];

/** An id that nothing has. */
export const noSuchId = '01a00000-0000-7000-8000-000000000000';

/** What is told of wrong fields. */
export function invalid(...fields: string[]): Partial<Failure> {
  return { code: 'InvalidArgument', reason: 'FIELD_INVALID', fields };
}

export type CreateRequest = Exclude<
  MessageInitShape<typeof CreateImageRequestSchema>,
  { $typeName: string }
>;

/** A sound CreateImage, but for what is given. */
export function createRequest(
  image: CreateRequest['image'] = {},
  rest: Omit<CreateRequest, 'image'> = {},
): CreateRequest {
  return {
    image: { name: 'some', diskFormat: Image_DiskFormat.RAW, ...image },
    source: { case: 'upload', value: {} },
    ...rest,
  };
}

/** Makes what the cases stand on. */
export async function prepare({ images, tasks }: Clients): Promise<Standing> {
  const make = async (name: string): Promise<ImageAndTask> => {
    const { image, task } = await images.createImage(createRequest({ name }));
    return { imageId: image!.id, taskId: task!.id };
  };
  const queued = await make('queued');
  const active = await make('active');
  const deleted = await make('deleted');
  const cancelled = await make('cancelled');
  await images.uploadImage(uploadFrames(Buffer.alloc(100, 'x'), { taskId: active.taskId }));
  await images.deleteImage({ imageId: deleted.imageId });
  await tasks.cancelTask({ taskId: cancelled.taskId });
  const { nextPageToken: imagesToken } = await images.listImages({ pageSize: 1 });
  return { queued, active, deleted, cancelled, imagesToken };
}
