import type { ImageService } from '../../images/image-service.ts';
import type { HttpCall } from '../http/http-endpoints.ts';
import { goneIfDeleted } from './deleted-image.ts';
import { subject } from './id-in-path.ts';
import { valuesOf } from './image-patch.ts';
import { imagePath } from './image-view.ts';
import type { Place } from './place.ts';
import { sendNothing } from './rest-answer.ts';
import { RestError } from './rest-error.ts';

/** Where the bytes of images are kept from all but admins, and given again. */
export function imageActionPlaces({ images }: { readonly images: ImageService }): readonly Place[] {
  async function act(call: HttpCall, deactivated: boolean): Promise<void> {
    const imageId = subject(call);
    await goneIfDeleted(
      images.updateImageAsItIs(call.context.caller, imageId, (image) => {
        if (image.state === 'QUEUED') {
          throw new RestError(
            403,
            'IMAGE_STATE_INVALID',
            `Image ${imageId} is QUEUED: it has no bytes yet that could be kept from anybody, or given again.`,
            { metadata: { image_id: imageId, state: image.state } },
          );
        }
        return { paths: ['deactivated'], values: { ...valuesOf(image), deactivated } };
      }),
    );
    sendNothing(call);
  }

  return [
    {
      path: `${imagePath(':id')}/actions/deactivate`,
      methods: { POST: (call) => act(call, true) },
    },
    {
      path: `${imagePath(':id')}/actions/reactivate`,
      methods: { POST: (call) => act(call, false) },
    },
  ];
}
