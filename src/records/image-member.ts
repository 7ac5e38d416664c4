import { defineEntity, p } from '@mikro-orm/core';
import type { ImageId } from './ids.ts';

/** What a project says to being shared an image with, as in the contract's enum without its prefix. */
export const memberStatuses = ['PENDING', 'ACCEPTED', 'REJECTED'] as const;
export type MemberStatus = (typeof memberStatuses)[number];

const ImageMemberSchema = defineEntity({
  name: 'ImageMember',
  tableName: 'image_members',
  properties: {
    imageId: p.uuid().primary().$type<ImageId>(),
    memberProjectId: p.text().primary(),
    status: p.text().$type<MemberStatus>(),
    /** Raised by every change; the etag is made from it. */
    version: p.bigint('number'),
    createTime: p.datetime(3),
    updateTime: p.datetime(3),
  },
});

/** A row of `image_members`: a project that an image is shared with. It counts while the image is SHARED. */
export class ImageMember extends ImageMemberSchema.class {}
ImageMemberSchema.setClass(ImageMember);
export { ImageMemberSchema };

/** The etag of a membership as it is: opaque to callers, another one after every change. */
export function memberEtagOf({
  imageId,
  memberProjectId,
  version,
}: Pick<ImageMember, 'imageId' | 'memberProjectId' | 'version'>): string {
  return Buffer.from(`${imageId}/${memberProjectId}/${version}`).toString('base64url');
}
