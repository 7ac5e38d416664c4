import type { PageRequest } from '../lists/page.ts';

/** What callers ask of the members of an image, as they sent it: nothing is checked yet. */
export interface MemberRequest {
  readonly imageId: string;
  readonly memberProjectId: string;
}

/** What ListImageMembers is asked. */
export interface ListMembersRequest extends PageRequest {
  readonly imageId: string;
}

/** What UpdateImageMember is asked. */
export interface UpdateMemberRequest extends MemberRequest {
  /** Undefined for none. */
  readonly status: string | undefined;
  /** Empty to change the membership as it is. */
  readonly etag: string;
  /** Paths of the fields that change, in snake_case. */
  readonly paths: readonly string[];
}
