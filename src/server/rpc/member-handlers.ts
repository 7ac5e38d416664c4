import { create } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import { ImageMember_Status } from '../../../gen/darkroom/v1/image_member_pb.ts';
import {
  AddImageMemberResponseSchema,
  GetImageMemberResponseSchema,
  ListImageMembersResponseSchema,
  RemoveImageMemberResponseSchema,
  UpdateImageMemberResponseSchema,
  type ImageService as ImageServiceDescriptor,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import type { ImageMembers } from '../../images/image-members.ts';
import { callerOf } from '../transport/request-context.ts';
import { enumName } from './messages/enum-names.ts';
import { snakeCase } from './messages/image-requests.ts';
import { memberMessage } from './messages/member-message.ts';

/** The calls of ImageService about whom images are shared with. */
export type MemberHandlers = Pick<
  ServiceImpl<typeof ImageServiceDescriptor>,
  | 'addImageMember'
  | 'listImageMembers'
  | 'getImageMember'
  | 'updateImageMember'
  | 'removeImageMember'
>;

/** Translates between the contract's messages and the members of images. */
export function memberHandlers(members: ImageMembers): MemberHandlers {
  return {
    async addImageMember(request, context) {
      const member = await members.add(callerOf(context), request);
      return create(AddImageMemberResponseSchema, { member: memberMessage(member) });
    },

    async listImageMembers(request, context) {
      const page = await members.list(callerOf(context), request);
      return create(ListImageMembersResponseSchema, {
        members: page.rows.map(memberMessage),
        nextPageToken: page.nextPageToken,
      });
    },

    async getImageMember(request, context) {
      const member = await members.get(callerOf(context), request);
      return create(GetImageMemberResponseSchema, { member: memberMessage(member) });
    },

    async updateImageMember({ member, updateMask }, context) {
      const updated = await members.update(callerOf(context), {
        imageId: member?.imageId ?? '',
        memberProjectId: member?.memberProjectId ?? '',
        status: enumName(ImageMember_Status, member?.status ?? 0),
        etag: member?.etag ?? '',
        paths: (updateMask?.paths ?? []).map(snakeCase),
      });
      return create(UpdateImageMemberResponseSchema, { member: memberMessage(updated) });
    },

    async removeImageMember(request, context) {
      await members.remove(callerOf(context), request);
      return create(RemoveImageMemberResponseSchema);
    },
  };
}
