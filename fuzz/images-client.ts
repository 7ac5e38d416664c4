import { createClient, type Client } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { ImageService } from '../gen/darkroom/v1/image_service_pb.ts';

/** A client whose calls are sound, with a credential as it stands in `authorization`. */
export function imagesAs(url: string, authorization: string): Client<typeof ImageService> {
  return createClient(
    ImageService,
    createGrpcTransport({
      baseUrl: url,
      interceptors: [
        (next) => (request) => {
          request.header.set('authorization', authorization);
          return next(request);
        },
      ],
    }),
  );
}
