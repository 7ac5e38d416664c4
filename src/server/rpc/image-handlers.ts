import { create } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  CreateImageResponseSchema,
  DeleteImageResponseSchema,
  GetImageResponseSchema,
  ListImagesResponseSchema,
  UpdateImageResponseSchema,
  type ImageService as ImageServiceDescriptor,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import type { Settings } from '../../config/settings.ts';
import { etagOf } from '../../records/image-etag.ts';
import type { ImageService } from '../../images/image-service.ts';
import { weakEtag } from '../http/conditional-get.ts';
import { imageMessage } from './messages/image-message.ts';
import {
  createImageRequest,
  listImagesRequest,
  updateImageRequest,
} from './messages/image-requests.ts';
import { taskMessage } from './messages/task-message.ts';
import { uploadLimitsMessage } from './messages/upload-limits-message.ts';
import { callerOf } from '../transport/request-context.ts';
import { taskPath } from '../http/task-path.ts';

/** The calls of ImageService that keep images; those that move bytes are elsewhere. */
export type ImageHandlers = Pick<
  ServiceImpl<typeof ImageServiceDescriptor>,
  'createImage' | 'getImage' | 'listImages' | 'updateImage' | 'deleteImage'
>;

/** Translates between the contract's messages and the image service. */
export function imageHandlers(images: ImageService, settings: Settings): ImageHandlers {
  const limits = uploadLimitsMessage(settings);
  return {
    async createImage(request, context) {
      const caller = callerOf(context);
      const { image, lastFault, task } = await images.createImage(
        caller,
        createImageRequest(request),
      );
      if (task) {
        // In HTTP's own words, for callers who are no clients of ours. gRPC carries them as metadata.
        context.responseHeader.set('location', taskPath(task.task.id));
        context.responseHeader.set('link', `<${taskPath(task.task.id)}>; rel="monitor"`);
      }
      return create(CreateImageResponseSchema, {
        image: imageMessage(image, lastFault, caller),
        task: task && taskMessage(task.task, task.lastFault, caller),
        taskPath: task ? taskPath(task.task.id) : '',
        limits,
      });
    },

    async getImage(request, context) {
      const caller = callerOf(context);
      const { image, lastFault } = await images.getImage(caller, request.imageId);
      // The image's own etag does not change with the faults that are told with it.
      const etag = weakEtag(etagOf(image), ...(lastFault ? [lastFault.id] : []));
      context.responseHeader.set('etag', etag);
      return create(GetImageResponseSchema, { image: imageMessage(image, lastFault, caller) });
    },

    async listImages(request, context) {
      const caller = callerOf(context);
      const page = await images.listImages(caller, listImagesRequest(request));
      return create(ListImagesResponseSchema, {
        images: page.rows.map(({ image, lastFault }) => imageMessage(image, lastFault, caller)),
        nextPageToken: page.nextPageToken,
      });
    },

    async updateImage(request, context) {
      const caller = callerOf(context);
      const { image, lastFault } = await images.updateImage(caller, updateImageRequest(request));
      return create(UpdateImageResponseSchema, { image: imageMessage(image, lastFault, caller) });
    },

    async deleteImage(request, context) {
      const caller = callerOf(context);
      const { image, lastFault } = await images.deleteImage(caller, {
        imageId: request.imageId,
        etag: request.etag,
      });
      return create(DeleteImageResponseSchema, { image: imageMessage(image, lastFault, caller) });
    },
  };
}
