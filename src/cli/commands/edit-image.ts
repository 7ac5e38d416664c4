import { create } from '@bufbuild/protobuf';
import {
  ImageSchema,
  Image_ContainerFormat,
  Image_DiskFormat,
  Image_Visibility,
  type Image,
} from '../../client/contract.ts';
import { DarkroomError } from '../../client/exports.ts';
import { enumValue } from '../choices.ts';
import type { CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';
import { findImage } from '../finding/find-image.ts';
import { recordFormat, recordText } from '../output/record-format.ts';
import { shownText } from '../output/shown-text.ts';
import type { ConnectionOptions } from '../profiles/connection.ts';
import { UsageError } from '../usage-error.ts';
import { imageTitle } from '../words/image-words.ts';

/** What of an image is changed. */
export interface EditImageOptions extends ConnectionOptions {
  readonly json?: boolean;
  readonly format?: string;
  readonly name?: string;
  readonly diskFormat?: string;
  readonly containerFormat?: string;
  readonly visibility?: string;
  readonly minDisk?: number;
  readonly minRam?: number;
  readonly property?: Readonly<Record<string, string>>;
  readonly dropProperty?: readonly string[];
  readonly tag?: readonly string[];
  readonly dropTag?: readonly string[];
  readonly protect?: boolean;
  readonly hide?: boolean;
  readonly deactivate?: boolean;
}

/** A field of the mask, and the image with its new value. */
type Change = readonly [field: string, apply: (image: Image) => void];

/** How often what others have changed meanwhile is read anew, before it is left to the user. */
const mostTries = 5;

/** Changes an image: what others change meanwhile is kept, and tags and properties are added to what there is. */
export async function editImage(
  context: CommandContext,
  text: string,
  options: EditImageOptions,
): Promise<void> {
  const format = recordFormat(ImageSchema, options);
  const changes = changesOf(options);
  if (changes.length === 0) {
    throw new UsageError(
      'say what to change, such as --name or --tag; darkroom edit --help lists it',
    );
  }
  const { out, signal } = context;
  const image = await withClient(context, options, async (client) => {
    let found = await findImage(client, text, signal);
    for (let tries = 1; ; tries += 1) {
      const wanted = create(ImageSchema, {
        ...found,
        properties: { ...found.properties },
        tags: [...found.tags],
      });
      changes.forEach(([, apply]) => apply(wanted));
      const updateMask = { paths: [...new Set(changes.map(([field]) => field))] };
      try {
        const answer = await client.images.updateImage({ image: wanted, updateMask }, { signal });
        return answer.image ?? wanted;
      } catch (error) {
        const isStale = error instanceof DarkroomError && error.reason === 'ETAG_MISMATCH';
        if (!isStale || tries === mostTries) {
          throw error;
        }
        found = await findImage(client, found.id, signal);
      }
    }
  });
  if (format === undefined) {
    out.line(`Changed ${shownText(imageTitle(image))} (${image.id}).`);
  } else {
    out.write(recordText(format, ImageSchema, image));
  }
}

function changesOf(options: EditImageOptions): Change[] {
  const { name, diskFormat, containerFormat, visibility, minDisk, minRam } = options;
  const { property, dropProperty, tag, dropTag, protect, hide, deactivate } = options;
  const changes: (Change | undefined)[] = [
    change('name', name, (image, value) => (image.name = value)),
    change('disk_format', diskFormat, (image, value) => {
      image.diskFormat = enumValue(Image_DiskFormat, value);
    }),
    change('container_format', containerFormat, (image, value) => {
      image.containerFormat = enumValue(Image_ContainerFormat, value);
    }),
    change('visibility', visibility, (image, value) => {
      image.visibility = enumValue(Image_Visibility, value);
    }),
    change('min_disk_bytes', minDisk, (image, value) => (image.minDiskBytes = BigInt(value))),
    change('min_ram_bytes', minRam, (image, value) => (image.minRamBytes = BigInt(value))),
    change('properties', dropProperty, (image, keys) => {
      keys.forEach((key) => delete image.properties[key]);
    }),
    change('properties', property, (image, values) => Object.assign(image.properties, values)),
    change('tags', dropTag, (image, gone) => {
      image.tags = image.tags.filter((one) => !gone.includes(one));
    }),
    change('tags', tag, (image, more) => (image.tags = [...new Set([...image.tags, ...more])])),
    change('protected', protect, (image, value) => (image.protected = value)),
    change('hidden', hide, (image, value) => (image.hidden = value)),
    change('deactivated', deactivate, (image, value) => (image.deactivated = value)),
  ];
  return changes.filter((one) => one !== undefined);
}

function change<Value>(
  field: string,
  value: Value | undefined,
  apply: (image: Image, value: Value) => unknown,
): Change | undefined {
  return value === undefined ? undefined : [field, (image) => void apply(image, value)];
}
