import { DarkroomError } from '../domain/darkroom-error.ts';
import { quoted } from '../domain/quoted.ts';
import type { Image } from '../records/image.ts';

type Shown = Pick<Image, 'id' | 'visibility'>;

/** The error for what only a SHARED image has: members, for whoever is not its owner. */
export function notShared({ id, visibility }: Readonly<Shown>): DarkroomError {
  return new DarkroomError(
    'IMAGE_NOT_SHARED',
    `Image ${id} is ${visibility}, and only a SHARED one has members. Its own project can make it so by UpdateImage.`,
    { metadata: { image_id: id, visibility } },
  );
}

/** The error for a project that an image is not shared with, or whose membership is not the caller's to know. */
export function memberNotFound({ id }: Readonly<Shown>, project: string): DarkroomError {
  return new DarkroomError(
    'MEMBER_NOT_FOUND',
    `Image ${id} has no member ${quoted(project)} that may be told here.`,
    { metadata: { image_id: id } },
  );
}

/** The error for a project that an image is shared with already. */
export function memberExists({ id }: Readonly<Shown>, project: string): DarkroomError {
  return new DarkroomError(
    'MEMBER_EXISTS',
    `Image ${id} is shared with ${quoted(project)} already: there is nothing to do.`,
    { metadata: { image_id: id } },
  );
}

/** The error for an answer that somebody else gives in a project's name. */
export function notTheMember({ id }: Readonly<Shown>, project: string): DarkroomError {
  return new DarkroomError(
    'MEMBER_NOT_CALLER',
    `Whether image ${id} is accepted by ${quoted(project)} is for that project alone to say. To take the image from it, ` +
      'use RemoveImageMember.',
    { metadata: { image_id: id } },
  );
}

/** The error for an image that is shared with as many projects as it may be. */
export function tooManyMembers({ id }: Readonly<Shown>, max: number): DarkroomError {
  return new DarkroomError(
    'TOO_MANY_MEMBERS',
    `Image ${id} is shared with ${max} projects, which is as many as there may be. Remove one, or make the image COMMUNITY.`,
    { metadata: { image_id: id, max_members: String(max) } },
  );
}
