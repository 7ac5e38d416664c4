import { containerFormats, diskFormats, imageOutlooks, visibilities } from '../../records/image.ts';
import { collectionSchema } from './collection-schema.ts';
import { uuidPattern } from './schemas.ts';

const lowerCase = (words: readonly string[]): readonly string[] =>
  words.map((word) => word.toLowerCase());

const text = { type: ['null', 'string'], maxLength: 255 } as const;
const given = { readOnly: true, type: ['null', 'string'] } as const;
const bytes = { readOnly: true, type: ['null', 'integer'] } as const;

/** Glance’s words for how far an image is; here none is killed, or pending to be deleted. */
export const glanceStatuses =
  'queued saving active killed deleted uploading importing pending_delete deactivated'.split(' ');

/**
 * JSON schema of an image. `glance` keeps it, and makes its own options of it, for other servers too: so it also
 * names what Glance has and this service does not, and is not strict. It names nothing else: of each name that it
 * does not expect, `glance` makes an option too, and fails where it has one of that name already.
 */
export const imageSchema = {
  name: 'image',
  properties: {
    id: { description: 'An identifier for the image', pattern: uuidPattern, type: 'string' },
    name: { ...text, description: 'What the image is called' },
    status: {
      description: 'Whether the image has its bytes',
      enum: glanceStatuses,
      readOnly: true,
      type: 'string',
    },
    visibility: {
      description: 'Who may see the image',
      enum: lowerCase(visibilities),
      type: 'string',
    },
    protected: { description: 'Whether the image must not be deleted', type: 'boolean' },
    os_hidden: { description: 'Whether lists leave the image out', type: 'boolean' },
    owner: { ...text, description: 'The project that owns the image' },
    disk_format: {
      description: 'The format of the disk',
      enum: [null, ...lowerCase(diskFormats)],
      type: ['null', 'string'],
    },
    container_format: {
      description: 'What the disk is wrapped in',
      enum: [null, ...lowerCase(containerFormats)],
      type: ['null', 'string'],
    },
    size: { ...bytes, description: 'The size of the image, in bytes' },
    virtual_size: { ...bytes, description: 'The size of the disk that is in it, in bytes' },
    min_disk: { description: 'The disk that it takes at least, in GiB', type: 'integer' },
    min_ram: { description: 'The memory that it takes at least, in MiB', type: 'integer' },
    checksum: { ...given, description: 'The MD5 of the bytes', maxLength: 32 },
    os_hash_algo: { ...given, description: 'By what os_hash_value is computed', maxLength: 64 },
    os_hash_value: { ...given, description: 'The hash of the bytes, in hex', maxLength: 128 },
    tags: {
      description: 'Words to find the image by',
      items: { maxLength: 255, type: 'string' },
      type: 'array',
    },
    os_darkroom_outlook: {
      description: 'Whether the bytes can be hoped for',
      enum: lowerCase(imageOutlooks),
      readOnly: true,
      type: 'string',
    },
    os_darkroom_task: {
      description: 'Where the newest task can be read that is to bring the bytes',
      readOnly: true,
      type: 'string',
    },
    os_darkroom_fault: {
      description: 'What went wrong last, with its reason',
      readOnly: true,
      type: 'string',
    },
    architecture: { description: 'The processors that it is for', is_base: false, type: 'string' },
    os_distro: { description: 'The operating system in it', is_base: false, type: 'string' },
    os_version: { description: 'Which version of it', is_base: false, type: 'string' },
    instance_uuid: { description: 'Of which instance it is', is_base: false, type: 'string' },
    kernel_id: {
      description: 'The image of its kernel',
      is_base: false,
      pattern: uuidPattern,
      type: ['null', 'string'],
    },
    ramdisk_id: {
      description: 'The image of its initial RAM disk',
      is_base: false,
      pattern: uuidPattern,
      type: ['null', 'string'],
    },
    locations: {
      description: 'Where the bytes are',
      items: { properties: {}, type: 'object' },
      type: 'array',
    },
    direct_url: { description: 'Where the bytes can be had', readOnly: true, type: 'string' },
    created_at: { description: 'When the image was made', readOnly: true, type: 'string' },
    updated_at: { description: 'When it last changed', readOnly: true, type: 'string' },
    self: { description: 'Where the image can be read', readOnly: true, type: 'string' },
    file: { description: 'Where its bytes can be read', readOnly: true, type: 'string' },
    schema: { description: 'Where this schema can be read', readOnly: true, type: 'string' },
  },
  /** The properties. */
  additionalProperties: { type: 'string' },
  links: [
    { rel: 'self', href: '{self}' },
    { rel: 'enclosure', href: '{file}' },
    { rel: 'describedby', href: '{schema}' },
  ],
} as const;

/** JSON schema of a list of images. */
export const imagesSchema = collectionSchema('images', imageSchema);
