import { z } from 'zod';
import { ApiFailure } from './api-failure.ts';
import type { ImageApi } from './image-api.ts';

const membersShape = z.object({
  members: z.array(z.object({ member_id: z.string(), status: z.string() })),
});

/** What it takes to share an image with those with whom it is shared in Glance. */
export interface CopyMembersParts {
  readonly source: ImageApi;
  /** Called for the image's project. */
  readonly target: ImageApi;
  readonly imageId: string;
}

/**
 * Shares an image of Darkroom's with the projects with which it is shared in Glance, and has each say to it what it said there, where
 * the caller may speak for it. Those that are there already stay.
 *
 * @returns what could not be done, for people.
 * @throws an Error with a code, of the network.
 */
export async function copyMembers({
  source,
  target,
  imageId,
}: CopyMembersParts): Promise<string[]> {
  const path = `/v2/images/${imageId}/members`;
  const notes: string[] = [];
  const noted = async <T>(what: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof ApiFailure) || error.isPassing) {
        throw error;
      }
      notes.push(`${what}: ${error.message}`);
      return undefined;
    }
  };
  const listed = await noted('the members cannot be read', () => source.ask('GET', path));
  if (listed === undefined) {
    return notes;
  }
  const { members } = membersShape.parse(listed.body);
  const there = membersShape.parse((await target.ask('GET', path)).body).members;
  for (const { member_id: member, status } of members) {
    const known = there.find((one) => one.member_id === member);
    const isShared =
      known !== undefined ||
      (await noted(`not shared with ${member}`, () => target.ask('POST', path, { member })));
    if (isShared && status !== 'pending' && known?.status !== status) {
      await noted(`${member} has to answer by itself that it is ${status}`, () =>
        target.actingFor(member).ask('PUT', `${path}/${encodeURIComponent(member)}`, { status }),
      );
    }
  }
  return notes;
}
