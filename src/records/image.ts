import { defineEntity, p } from '@mikro-orm/core';
import type { BlobId, FaultId, ImageId, TaskId } from './ids.ts';

/** How far an image is: rule 1 of the contract knows no other state. */
export const imageStates = ['QUEUED', 'ACTIVE', 'DELETED'] as const;
export type ImageState = (typeof imageStates)[number];

/** Whether a reader can hope for the bytes. */
export const imageOutlooks = ['EXPECTED', 'AVAILABLE', 'NOT_COMING'] as const;
export type ImageOutlook = (typeof imageOutlooks)[number];

/** Formats of disks, as in the contract's enum without its prefix. */
export const diskFormats = [
  'RAW',
  'QCOW2',
  'VMDK',
  'VDI',
  'VHD',
  'VHDX',
  'ISO',
  'PLOOP',
  'AKI',
  'ARI',
  'AMI',
] as const;
export type DiskFormat = (typeof diskFormats)[number];

/** Formats of containers, as in the contract's enum without its prefix. */
export const containerFormats = ['BARE', 'OVF', 'OVA', 'DOCKER', 'COMPRESSED'] as const;
export type ContainerFormat = (typeof containerFormats)[number];

/** Formats of one compressed file. */
export type Compression = 'gzip' | 'xz' | 'zstd' | 'bzip2';

/** Who may see an image, as in the contract's enum without its prefix. */
export const visibilities = ['PRIVATE', 'SHARED', 'COMMUNITY', 'PUBLIC'] as const;
export type Visibility = (typeof visibilities)[number];

const ImageSchema = defineEntity({
  name: 'Image',
  tableName: 'images',
  properties: {
    id: p.uuid().primary().$type<ImageId>(),
    projectId: p.text(),
    createdBy: p.text(),
    /** Empty for none. */
    name: p.text(),
    /** Both are null until they are known, which is before the first bytes come. */
    diskFormat: p.text().$type<DiskFormat>().nullable(),
    containerFormat: p.text().$type<ContainerFormat>().nullable(),
    state: p.text().$type<ImageState>(),
    outlook: p.text().$type<ImageOutlook>(),
    /** Bytes; set when the image becomes ACTIVE. */
    sizeBytes: p.bigint('number').nullable(),
    virtualSizeBytes: p.bigint('number').nullable(),
    /** Lower-case hex; set when the image becomes ACTIVE. */
    sha256: p.text().nullable(),
    /** What the bytes that came were compressed with; null where they are stored as they came. */
    packedFormat: p.text().$type<Compression>().nullable(),
    /** How many bytes came, and their sha256, where the image is what was inside of them. */
    packedSizeBytes: p.bigint('number').nullable(),
    packedSha256: p.text().nullable(),
    minDiskBytes: p.bigint('number'),
    minRamBytes: p.bigint('number'),
    properties: p.json<Record<string, string>>(),
    tags: p.array(),
    visibility: p.text().$type<Visibility>(),
    /** Whether it must not be deleted. */
    protected: p.boolean(),
    /** Whether lists leave it out, unless they are asked for such images. */
    hidden: p.boolean(),
    /** Whether its bytes are kept from all but admins. */
    deactivated: p.boolean(),
    /** The published bytes; set exactly while the image is ACTIVE. */
    blobId: p.uuid().$type<BlobId>().nullable(),
    latestTaskId: p.uuid().$type<TaskId>().nullable(),
    lastFaultId: p.uuid().$type<FaultId>().nullable(),
    requestId: p.text().nullable(),
    /** sha256 of the creating request's content, to tell a repeated request from a reused id. */
    requestDigest: p.text().nullable(),
    /** Raised by every change; the etag is made from it. */
    version: p.bigint('number'),
    createTime: p.datetime(3),
    updateTime: p.datetime(3),
    deleteTime: p.datetime(3).nullable(),
  },
});

/** A row of `images`. Its blob, tasks and faults are referred to by id. */
export class Image extends ImageSchema.class {}
ImageSchema.setClass(Image);
export { ImageSchema };
