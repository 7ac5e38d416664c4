import { defineEntity, p } from '@mikro-orm/core';
import type { BlobId, SegmentId, TaskId } from './ids.ts';

/**
 * STAGED while a task fills it, or an unpacking for one, PUBLISHED while it is an image's, DELETING once nothing refers to it
 * and its files are to go. Files go first, then rows, so that no file is ever without an owner.
 */
export type BlobState = 'STAGED' | 'PUBLISHED' | 'DELETING';

const BlobSchema = defineEntity({
  name: 'Blob',
  tableName: 'blobs',
  properties: {
    id: p.uuid().primary().$type<BlobId>(),
    state: p.text().$type<BlobState>(),
    /** Whose quota its bytes count against; null of a blob that an older version made, until the next start. */
    projectId: p.text().nullable(),
    /** The task and writer epoch for which the blob is filled by unpacking another; it is theirs while that writes. */
    unpackingTaskId: p.uuid().$type<TaskId>().nullable(),
    unpackingEpoch: p.bigint('number').nullable(),
    createTime: p.datetime(3),
    updateTime: p.datetime(3),
  },
});

/** A row of `blobs`: the bytes of one image. */
export class Blob extends BlobSchema.class {}
BlobSchema.setClass(Blob);

const BlobSegmentSchema = defineEntity({
  name: 'BlobSegment',
  tableName: 'blob_segments',
  properties: {
    id: p.uuid().primary().$type<SegmentId>(),
    blobId: p.uuid().$type<BlobId>(),
    /** Where the segment begins in the blob, in bytes. */
    startOffset: p.bigint('number'),
    /** Committed bytes; whatever the store holds beyond them is not part of the blob. */
    length: p.bigint('number'),
    /** Bytes of the committed ones that take up room in the store. */
    storedBytes: p.bigint('number'),
    writerEpoch: p.bigint('number'),
    createTime: p.datetime(3),
  },
});

/** A row of `blob_segments`: what one writer epoch added to a blob. */
export class BlobSegment extends BlobSegmentSchema.class {}
BlobSegmentSchema.setClass(BlobSegment);
export { BlobSchema, BlobSegmentSchema };
