import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  Image,
  Image_DiskFormat,
  Image_Visibility,
  ImageSchema,
} from '../../../gen/darkroom/v1/image_pb.ts';

/** An image’s fields as they are typed. */
export interface ImageFields {
  readonly name: string;
  readonly visibility: Image_Visibility;
  readonly diskFormat: Image_DiskFormat;
  /** In GiB. */
  readonly minDisk: string;
  /** In MiB. */
  readonly minRam: string;
  readonly tags: string;
  readonly properties: string;
  readonly protected: boolean;
  readonly hidden: boolean;
  readonly deactivated: boolean;
}

const gib = 1024 ** 3;
const mib = 1024 ** 2;

/** Their names in the contract. */
const paths: Readonly<Record<keyof ImageFields, string>> = {
  name: 'name',
  visibility: 'visibility',
  diskFormat: 'disk_format',
  minDisk: 'min_disk_bytes',
  minRam: 'min_ram_bytes',
  tags: 'tags',
  properties: 'properties',
  protected: 'protected',
  hidden: 'hidden',
  deactivated: 'deactivated',
};

/** What an image has, as one would type it. */
export function fieldsOf(image: Image): ImageFields {
  return {
    name: image.name,
    visibility: image.visibility,
    diskFormat: image.diskFormat,
    minDisk: amountText(image.minDiskBytes, gib),
    minRam: amountText(image.minRamBytes, mib),
    tags: image.tags.join(', '),
    properties: Object.entries(image.properties)
      .map(([name, value]) => `${name} = ${value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}`)
      .join('\n'),
    protected: image.protected,
    hidden: image.hidden,
    deactivated: image.deactivated,
  };
}

/** Which fields of the contract differ, for a mask. */
export function changesOf(before: ImageFields, after: ImageFields): string[] {
  return (Object.keys(paths) as (keyof ImageFields)[])
    .filter((name) => before[name] !== after[name])
    .map((name) => paths[name]);
}

/** What is wrong with what was typed, by field; empty where nothing is. */
export function wrongFields({
  minDisk,
  minRam,
  properties,
}: ImageFields): Partial<Record<keyof ImageFields, string>> {
  const wrongLine = linesOf(properties).find((line) => !/^[^=]*[^=\s][^=]*=/.test(line));
  return {
    ...(amountOf(minDisk, gib) === undefined ? { minDisk: 'A number of GiB, or nothing.' } : {}),
    ...(amountOf(minRam, mib) === undefined ? { minRam: 'A number of MiB, or nothing.' } : {}),
    ...(wrongLine === undefined
      ? {}
      : { properties: `“${wrongLine}” is not of the form name = value.` }),
  };
}

/** As the contract has them. What is wrong counts as nothing. */
export function imageFields(fields: ImageFields): MessageInitShape<typeof ImageSchema> {
  return {
    name: fields.name,
    visibility: fields.visibility,
    diskFormat: fields.diskFormat,
    minDiskBytes: amountOf(fields.minDisk, gib) ?? 0n,
    minRamBytes: amountOf(fields.minRam, mib) ?? 0n,
    tags: [
      ...new Set(
        fields.tags
          .split(',')
          .map((tag) => tag.trim())
          .filter((tag) => tag !== ''),
      ),
    ],
    properties: Object.fromEntries(linesOf(fields.properties).map(propertyOf)),
    protected: fields.protected,
    hidden: fields.hidden,
    deactivated: fields.deactivated,
  };
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}

function propertyOf(line: string): readonly [name: string, value: string] {
  const end = line.indexOf('=');
  const value = line.slice(end + 1).trim();
  const unescaped = value.replaceAll(/\\(.)/gs, (_, letter: string) =>
    letter === 'n' ? '\n' : letter,
  );
  return [line.slice(0, end).trim(), unescaped];
}

function amountText(bytes: bigint, unit: number): string {
  return bytes === 0n ? '' : String(Number(bytes) / unit);
}

function amountOf(text: string, unit: number): bigint | undefined {
  const trimmed = text.trim().replace(',', '.');
  return /^\d{0,9}(?:\.\d*)?$/.test(trimmed) && trimmed !== '.'
    ? BigInt(Math.round(Number(trimmed) * unit))
    : undefined;
}
