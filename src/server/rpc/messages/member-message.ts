import { create } from '@bufbuild/protobuf';
import {
  ImageMemberSchema,
  ImageMember_Status,
  type ImageMember as ImageMemberMessage,
} from '../../../../gen/darkroom/v1/image_member_pb.ts';
import { memberEtagOf, type ImageMember } from '../../../records/image-member.ts';
import { timestampOf } from './well-known-types.ts';

/** A membership, to whoever may see it. */
export function memberMessage(member: ImageMember): ImageMemberMessage {
  return create(ImageMemberSchema, {
    imageId: member.imageId,
    memberProjectId: member.memberProjectId,
    status: ImageMember_Status[member.status],
    etag: memberEtagOf(member),
    createTime: timestampOf(member.createTime),
    updateTime: timestampOf(member.updateTime),
  });
}
