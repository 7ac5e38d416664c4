import type { ImageService } from '../../images/image-service.ts';
import type { Image } from '../../records/image.ts';
import type { DarkroomError } from '../../domain/darkroom-error.ts';
import { quoted } from '../../domain/quoted.ts';
import type { HttpCall } from '../http/http-endpoints.ts';
import { goneIfDeleted } from './deleted-image.ts';
import { subject } from './id-in-path.ts';
import { requireRoom } from './image-limits.ts';
import { valuesOf } from './image-patch.ts';
import { imagePath } from './image-view.ts';
import type { Place } from './place.ts';
import { sendNothing } from './rest-answer.ts';
import { RestError } from './rest-error.ts';

/** One tag of an image at a time. */
export function imageTagPlaces({ images }: { readonly images: ImageService }): readonly Place[] {
  async function changeTags(
    call: HttpCall,
    tagsAfter: (image: Readonly<Image>) => string[],
  ): Promise<void> {
    const imageId = subject(call);
    await goneIfDeleted(
      images.updateImageAsItIs(call.context.caller, imageId, (image) => {
        const values = { ...valuesOf(image), tags: tagsAfter(image) };
        requireRoom({ tags: values.tags });
        return { paths: ['tags'], values };
      }),
    );
    sendNothing(call);
  }

  return [
    {
      path: `${imagePath(':id')}/tags/:tag`,
      methods: {
        PUT: (call) => changeTags(call, ({ tags }) => [...new Set([...tags, tagIn(call)])]),
        DELETE: (call) =>
          changeTags(call, ({ id, tags }) => {
            const tag = tagIn(call);
            if (!tags.includes(tag)) {
              throw noTag(id, tag);
            }
            return tags.filter((other) => other !== tag);
          }),
      },
    },
  ];
}

function tagIn({ params }: HttpCall): string {
  return params['tag'] ?? '';
}

function noTag(id: string, tag: string): DarkroomError {
  return new RestError(404, 'FIELD_INVALID', `Image ${id} has no tag ${quoted(tag)}.`);
}
