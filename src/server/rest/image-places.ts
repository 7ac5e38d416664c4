import type { ImageService } from '../../images/image-service.ts';
import { etagOf } from '../../records/image-etag.ts';
import { weakEtag } from '../http/conditional-get.ts';
import type { HttpCall } from '../http/http-endpoints.ts';
import { imageIdIn } from './id-in-path.ts';
import { imagePath, imageView } from './image-view.ts';
import type { Place } from './place.ts';
import { sendView } from './rest-answer.ts';

/** What it takes to keep images. */
export interface ImagePlacesParts {
  readonly images: ImageService;
}

/** Images: what they are called and what is known of them. */
export function imagePlaces({ images }: ImagePlacesParts): readonly Place[] {
  async function sendImage(call: HttpCall): Promise<void> {
    const { image } = await images.getImage(call.context.caller, imageIdIn(call));
    sendView(call, imageView(image), weakEtag(etagOf(image)));
  }

  return [{ path: imagePath(':id'), methods: { GET: sendImage } }];
}
