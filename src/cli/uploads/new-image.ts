import {
  Image_ContainerFormat,
  Image_DiskFormat,
  Image_Visibility,
} from '../../client/contract.ts';
import { enumValue } from '../choices.ts';
import { UsageError } from '../usage-error.ts';
import type { SourceFormat } from './source-format.ts';

/** What is told of an image that is to be made. */
export interface NewImageOptions {
  readonly name?: string;
  readonly diskFormat?: string;
  readonly containerFormat?: string;
  readonly visibility?: string;
  readonly minDisk?: number;
  readonly minRam?: number;
  readonly tag?: readonly string[];
  readonly property?: Readonly<Record<string, string>>;
  readonly protect?: boolean;
  /** Undefined: as the source looks. */
  readonly decompress?: boolean;
}

/** The image of a CreateImage, and whether what comes is unpacked. @throws UsageError where nobody knows the format */
export function newImage(options: NewImageOptions, name: string, format: SourceFormat) {
  const {
    containerFormat,
    visibility,
    minDisk = 0,
    minRam = 0,
    tag = [],
    property,
    protect,
  } = options;
  const word = options.diskFormat ?? format.diskFormat;
  if (word === undefined) {
    throw new UsageError(
      'nothing tells what format the disk is of: say it, such as --disk-format raw',
    );
  }
  return {
    decompress: options.decompress ?? format.isPacked,
    image: {
      name,
      diskFormat: enumValue(Image_DiskFormat, word),
      ...(containerFormat === undefined
        ? {}
        : { containerFormat: enumValue(Image_ContainerFormat, containerFormat) }),
      ...(visibility === undefined ? {} : { visibility: enumValue(Image_Visibility, visibility) }),
      minDiskBytes: BigInt(minDisk),
      minRamBytes: BigInt(minRam),
      tags: [...tag],
      properties: { ...property },
      protected: protect === true,
    },
  };
}
