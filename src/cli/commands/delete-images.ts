import { Image_State, type Image } from '../../client/contract.ts';
import type { CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';
import { findImage } from '../finding/find-image.ts';
import { bytesText } from '../output/amounts.ts';
import { shownText } from '../output/shown-text.ts';
import type { ConnectionOptions } from '../profiles/connection.ts';
import { askYesOrNo } from '../output/question.ts';
import { imageTitle } from '../words/image-words.ts';

/** What `darkroom delete` may be told. */
export interface DeleteImagesOptions extends ConnectionOptions {
  readonly yes?: boolean;
}

/** Deletes images: all that are named are found before any is deleted, and only those that are as they were then. */
export async function deleteImages(
  context: CommandContext,
  texts: readonly string[],
  options: DeleteImagesOptions,
): Promise<void> {
  const { out, signal } = context;
  await withClient(context, options, async (client) => {
    const found = new Map<string, Image>();
    for (const text of texts) {
      const image = await findImage(client, text, signal);
      found.set(image.id, image);
    }
    const images = [...found.values()].filter(({ state }) => state !== Image_State.DELETED);
    const gone = [...found.values()].filter(({ state }) => state === Image_State.DELETED);
    gone.forEach((image) => out.line(`${titleOf(image)} was deleted before.`));
    if (images.length === 0) {
      return;
    }
    if (options.yes !== true) {
      await askYesOrNo(context, questionFor(images));
    }
    for (const image of images) {
      await client.images.deleteImage({ imageId: image.id, etag: image.etag }, { signal });
      out.line(`Deleted ${titleOf(image)}.`);
    }
  });
}

function questionFor(images: readonly Image[]): string {
  const names = images.map((image) => {
    const size = image.sizeBytes === undefined ? 'no bytes yet' : bytesText(image.sizeBytes);
    return `${titleOf(image)}, ${size}`;
  });
  return names.length === 1
    ? `Delete ${names[0]}?`
    : `Delete these ${names.length} images?\n${names.map((name) => `  ${name}\n`).join('')}`;
}

function titleOf(image: Image): string {
  return image.name === '' ? image.id : `${shownText(imageTitle(image))} (${image.id})`;
}
