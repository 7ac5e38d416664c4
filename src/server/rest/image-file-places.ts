import type { DownloadParts } from '../../images/download-image.ts';
import { imageIdIn } from './id-in-path.ts';
import { sendImageFile } from './image-file.ts';
import { imagePath } from './image-view.ts';
import type { Place } from './place.ts';

/** What it takes to move the bytes of images. */
export interface ImageFilePlacesParts {
  readonly downloads: DownloadParts;
}

/** The bytes of images. */
export function imageFilePlaces({ downloads }: ImageFilePlacesParts): readonly Place[] {
  return [
    {
      path: `${imagePath(':id')}/file`,
      methods: { GET: (call) => sendImageFile(downloads, call, imageIdIn(call)) },
    },
  ];
}
