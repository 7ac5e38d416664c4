import { defineEntity, p } from '@mikro-orm/core';
import type { ImageId } from './ids.ts';

const ImportOrderSchema = defineEntity({
  name: 'ImportOrder',
  tableName: 'import_orders',
  properties: {
    imageId: p.uuid().primary().$type<ImageId>(),
    /** Of an image's copy null; else a sign that it is sealed, or as it was sent, where an earlier version wrote it. */
    url: p.text().nullable(),
    sourceImageId: p.uuid().$type<ImageId>().nullable(),
    /** For the source; empty where they are sealed. */
    headers: p.json<Record<string, string>>(),
    /** Address and headers, encrypted. */
    sealed: p.text().nullable(),
    /** The most bytes that are taken; null for the service's limit. */
    maxSize: p.bigint('number').nullable(),
    /** What the source said of the bytes that are stored: an ETag or a Last-Modified, as If-Range takes it. */
    validator: p.text().nullable(),
    /** How many bytes the source said that it has. */
    sourceSize: p.bigint('number').nullable(),
    /** Tries of the attempt under way that have failed. */
    tries: p.integer(),
    nextTryTime: p.datetime(3),
  },
});

/**
 * A row of `import_orders`: what the service is to fetch for an image, and how far it is with that. Gone
 * once the image has its bytes, or is deleted.
 */
export class ImportOrder extends ImportOrderSchema.class {}
ImportOrderSchema.setClass(ImportOrder);
export { ImportOrderSchema };
