import { describe, expect, test } from 'vitest';
import type { Caller } from '../../src/access/caller.ts';
import { ImageMembers } from '../../src/images/image-members.ts';
import { memberEtagOf } from '../../src/records/image-member.ts';
import {
  alice,
  bob,
  change,
  failureOf,
  newImage,
  refusedFields,
  unknownId,
  useImages,
} from './images-world.ts';

const openImages = useImages();
const carol: Caller = { projectId: 'darkroom-c', userId: 'carol', role: 'member' };

async function openShared(maxImageMembers = 5) {
  const world = openImages();
  const members = new ImageMembers(world.database, { maxImageMembers });
  const { image } = await world.images.createImage(alice, newImage({ visibility: 'SHARED' }));
  const of = (caller: Caller) => ({ imageId: image.id, memberProjectId: caller.projectId });
  const say = (caller: Caller, status: string, etag = '') =>
    members.update(caller, { ...of(caller), status, etag, paths: ['status'] });
  const list = (caller: Caller, pageSize = 0, pageToken = '') =>
    members.list(caller, { imageId: image.id, pageSize, pageToken });
  return { ...world, members, image, imageId: image.id, of, say, list };
}

async function reasonOf(call: Promise<unknown>): Promise<string> {
  return (await failureOf(call)).reason;
}

test('a member is PENDING until it says something, and only it says so', async () => {
  const { members, of, say } = await openShared();
  const added = await members.add(alice, of(bob));
  expect(added).toMatchObject({ memberProjectId: 'darkroom-b', status: 'PENDING', version: 1 });
  const accepted = await say(bob, 'ACCEPTED');
  expect(accepted).toMatchObject({ status: 'ACCEPTED', version: 2 });
  expect(memberEtagOf(accepted)).not.toBe(memberEtagOf(added));
  expect(await members.get(alice, of(bob))).toMatchObject({ status: 'ACCEPTED' });

  const inBobsName = { ...of(bob), status: 'REJECTED', etag: '', paths: ['status'] };
  expect(await reasonOf(members.update(alice, inBobsName))).toBe('MEMBER_NOT_CALLER');
  expect(await reasonOf(members.update(carol, inBobsName))).toBe('IMAGE_NOT_FOUND');
  await members.add(alice, of(carol));
  expect(await reasonOf(members.update(carol, inBobsName))).toBe('MEMBER_NOT_FOUND');
  expect(await members.get(bob, of(bob))).toMatchObject({ status: 'ACCEPTED', version: 2 });
});

test('what a member says again changes nothing, and what was changed meanwhile is told', async () => {
  const { members, of, say } = await openShared();
  const etag = memberEtagOf(await members.add(alice, of(bob)));
  const once = await say(bob, 'REJECTED', etag);
  expect(await say(bob, 'REJECTED')).toMatchObject({ version: 2, updateTime: once.updateTime });
  expect(await reasonOf(say(bob, 'ACCEPTED', etag))).toBe('ETAG_MISMATCH');
  await say(bob, 'PENDING', memberEtagOf(once));
});

test('an image’s project sees all its members in pages, and a member itself alone', async () => {
  const { members, of, list, imageId } = await openShared();
  const callers = ['é', 'b', 'B', 'a'].map((projectId): Caller => ({
    projectId,
    userId: 'x',
    role: 'member',
  }));
  for (const caller of callers) {
    await members.add(alice, of(caller));
  }
  const first = await list(alice, 3);
  const second = await list(alice, 3, first.nextPageToken);
  expect([...first.rows, ...second.rows].map(({ memberProjectId }) => memberProjectId)).toEqual([
    'B',
    'a',
    'b',
    'é',
  ]);
  expect(second.nextPageToken).toBe('');
  const [one, other] = callers;
  expect((await list(one!)).rows).toMatchObject([{ memberProjectId: 'é' }]);
  expect(await reasonOf(members.get(one!, of(other!)))).toBe('MEMBER_NOT_FOUND');
  expect(await reasonOf(list(one!, 3, first.nextPageToken))).toBe('PAGE_TOKEN_INVALID');
  expect(await reasonOf(list(carol))).toBe('IMAGE_NOT_FOUND');
  expect(await reasonOf(members.get(carol, of(carol)))).toBe('IMAGE_NOT_FOUND');
  expect(
    await reasonOf(members.list(alice, { imageId: unknownId(), pageSize: 0, pageToken: '' })),
  ).toBe('IMAGE_NOT_FOUND');
  expect(await reasonOf(members.add(bob, { imageId, memberProjectId: 'x' }))).toBe(
    'IMAGE_NOT_FOUND',
  );
});

test('a member that is removed sees the image no more, and may be added again', async () => {
  const { images, members, of, say, imageId } = await openShared();
  await members.add(alice, of(bob));
  await say(bob, 'ACCEPTED');
  expect(await reasonOf(members.remove(bob, of(bob)))).toBe('IMAGE_NOT_OWNED');
  await members.remove(alice, of(bob));
  expect(await reasonOf(images.getImage(bob, imageId))).toBe('IMAGE_NOT_FOUND');
  expect(await reasonOf(say(bob, 'ACCEPTED'))).toBe('IMAGE_NOT_FOUND');
  expect(await reasonOf(members.remove(alice, of(bob)))).toBe('MEMBER_NOT_FOUND');
  expect(await members.add(alice, of(bob))).toMatchObject({ status: 'PENDING' });
});

describe('only a SHARED image', () => {
  test('gets members, and it keeps them while it is something else', async () => {
    const { images, members, of, say, list, imageId } = await openShared();
    await members.add(alice, of(bob));
    await say(bob, 'ACCEPTED');
    await images.updateImage(alice, change(imageId, { visibility: 'COMMUNITY' }));
    for (const call of [
      () => members.add(alice, of(carol)),
      () => say(bob, 'REJECTED'),
      () => list(bob),
      () => members.get(bob, of(bob)),
    ]) {
      expect(await reasonOf(call())).toBe('IMAGE_NOT_SHARED');
    }
    // Its own project need not show it to see whom it would be shown to.
    expect((await list(alice)).rows).toMatchObject([{ memberProjectId: 'darkroom-b' }]);
    await images.updateImage(alice, change(imageId, { visibility: 'SHARED' }));
    expect(await members.get(bob, of(bob))).toMatchObject({ status: 'ACCEPTED' });
  });

  test('has members until it is deleted', async () => {
    const { images, members, of, list, imageId } = await openShared();
    await members.add(alice, of(bob));
    await images.deleteImage(alice, { imageId, etag: '' });
    expect(await reasonOf(members.add(alice, of(carol)))).toBe('IMAGE_STATE_INVALID');
    expect((await list(alice)).rows).toEqual([]);
    expect(await reasonOf(list(bob))).toBe('IMAGE_NOT_FOUND');
  });
});

test('fields that make no sense are named', async () => {
  const { members, of, imageId } = await openShared();
  expect(await refusedFields(members.add(alice, { imageId: 'x', memberProjectId: '' }))).toEqual([
    'image_id',
    'member_project_id',
  ]);
  expect(await refusedFields(members.add(alice, of(alice)))).toEqual(['member_project_id']);
  const long = { imageId, memberProjectId: 'x'.repeat(256) };
  expect(await refusedFields(members.get(alice, long))).toEqual(['member_project_id']);
  const nothing = {
    imageId: '',
    memberProjectId: 'a\0',
    status: undefined,
    etag: '',
    paths: ['version'],
  };
  expect(await refusedFields(members.update(bob, nothing))).toEqual([
    'member.image_id',
    'member.member_project_id',
    'update_mask',
    'member.status',
  ]);
  const noPaths = { ...of(bob), status: 'ACCEPTED', etag: '', paths: [] };
  expect(await refusedFields(members.update(bob, noPaths))).toEqual(['update_mask']);
});

describe('at the same time', () => {
  test('no more members are added than there may be, and none twice', async () => {
    const { members, of, list } = await openShared();
    const names = Array.from({ length: 20 }, (_, i) => `p${i % 10}`);
    const outcomes = await Promise.allSettled(
      names.map((projectId) => members.add(alice, of({ ...bob, projectId }))),
    );
    const reasons = outcomes.map((outcome) =>
      outcome.status === 'rejected' ? String(outcome.reason.reason) : 'added',
    );
    expect(reasons.filter((reason) => reason === 'added')).toHaveLength(5);
    expect(new Set(reasons)).toEqual(new Set(['added', 'MEMBER_EXISTS', 'TOO_MANY_MEMBERS']));
    expect((await list(alice)).rows).toHaveLength(5);
  });

  test('a member that is removed while it answers is gone, and told one of both', async () => {
    const { members, of, say, list } = await openShared();
    for (let round = 0; round < 20; round += 1) {
      await members.add(alice, of(bob));
      const [answer, removal] = await Promise.allSettled([
        say(bob, 'ACCEPTED'),
        members.remove(alice, of(bob)),
      ]);
      expect(removal.status).toBe('fulfilled');
      if (answer.status === 'rejected') {
        expect(['IMAGE_NOT_FOUND', 'MEMBER_NOT_FOUND']).toContain(answer.reason.reason);
      }
      expect((await list(alice)).rows).toEqual([]);
    }
  });

  test('whoever shares an image that is deleted or hidden meanwhile is told so', async () => {
    const { images, members, of, list, imageId } = await openShared();
    const [added] = await Promise.allSettled([
      members.add(alice, of(bob)),
      images.deleteImage(alice, { imageId, etag: '' }),
    ]);
    if (added.status === 'rejected') {
      expect(added.reason).toMatchObject({ reason: 'IMAGE_STATE_INVALID' });
    }
    expect((await list(alice)).rows).toEqual([]);
  });
});
