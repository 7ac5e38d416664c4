import type { DescEnum } from '@bufbuild/protobuf';
import {
  Image_ContainerFormat,
  Image_ContainerFormatSchema,
  Image_DiskFormat,
  Image_DiskFormatSchema,
  Image_Outlook,
  Image_State,
  Image_VisibilitySchema,
  type Image,
} from '../../client/contract.ts';
import type { Cell } from '../output/table.ts';
import type { Style } from '../output/screen.ts';

/** How it stands with an image, in a word or two: what its state and its outlook say together. */
export function imageStanding(image: Image, style: Style): Cell {
  switch (image.state) {
    case Image_State.ACTIVE:
      return image.deactivated
        ? { text: 'deactivated', style: style.warn }
        : { text: 'active', style: style.good };
    case Image_State.DELETED:
      return { text: 'deleted', style: style.dim };
    default:
      return image.outlook === Image_Outlook.NOT_COMING
        ? { text: 'not coming', style: style.bad }
        : { text: 'coming', style: style.warn };
  }
}

/** The words for a value of an enum, which are those of its name in the contract: `not coming` for NOT_COMING. */
export function enumWord(schema: DescEnum, value: number): string {
  return schema.value[value]?.localName.toLowerCase().replaceAll('_', ' ') ?? String(value);
}

/** `qcow2`; `-` where it is not set. */
export function diskFormatWord(image: Image): string {
  return image.diskFormat === Image_DiskFormat.UNSPECIFIED
    ? '-'
    : enumWord(Image_DiskFormatSchema, image.diskFormat);
}

/** `bare`; `-` where it is not set. */
export function containerFormatWord(image: Image): string {
  return image.containerFormat === Image_ContainerFormat.UNSPECIFIED
    ? '-'
    : enumWord(Image_ContainerFormatSchema, image.containerFormat);
}

/** `private` */
export function visibilityWord(image: Image): string {
  return enumWord(Image_VisibilitySchema, image.visibility);
}

/** What an image is called by people: its name where it has one. */
export function imageTitle(image: Pick<Image, 'id' | 'name'>): string {
  return image.name === '' ? image.id : image.name;
}
