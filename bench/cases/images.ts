import { createClient, type Client } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { ImageService } from '../../gen/darkroom/v1/image_service_pb.ts';

/** A client of the service, for what is not measured. */
export function imageClient(url: string): Client<typeof ImageService> {
  // A service of a benchmark is its own authority.
  const nodeOptions = { rejectUnauthorized: false };
  return createClient(ImageService, createGrpcTransport({ baseUrl: url, nodeOptions }));
}

/** Makes an image that waits for its bytes. */
export async function createUpload(
  images: Client<typeof ImageService>,
): Promise<{ readonly imageId: string; readonly taskId: string }> {
  const { image, task } = await images.createImage({
    image: { name: 'bench', diskFormat: Image_DiskFormat.RAW },
    source: { case: 'upload', value: {} },
  });
  if (!image || !task) {
    throw new Error('CreateImage answered without an image or a task');
  }
  return { imageId: image.id, taskId: task.id };
}
