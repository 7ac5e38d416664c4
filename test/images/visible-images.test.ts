import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Caller } from '../../src/access/caller.ts';
import type { Database } from '../../src/database/database.ts';
import type { ImageFilter } from '../../src/images/image-requests.ts';
import { imageOrders } from '../../src/images/image-order.ts';
import { ImageMember, memberStatuses } from '../../src/records/image-member.ts';
import { imageStates, visibilities, type Image } from '../../src/records/image.ts';
import { newId, type ImageId } from '../../src/records/ids.ts';
import { getTask, listFaults } from '../../src/tasks/reading/task-queries.ts';
import {
  alice,
  bob,
  change,
  failureOf,
  imagesOn,
  listOf,
  newImage,
  storeImages,
  unknownId,
  useImages,
  type StoredImage,
} from './images-world.ts';

const openImages = useImages();

async function share(
  database: Database,
  imageId: ImageId,
  member: Caller,
  status: ImageMember['status'] = 'PENDING',
): Promise<void> {
  const time = new Date();
  await database.fork().insert(ImageMember, {
    imageId,
    memberProjectId: member.projectId,
    status,
    version: 1,
    createTime: time,
    updateTime: time,
  });
}

describe('another project’s image', () => {
  test.each([
    ['PRIVATE', false],
    ['SHARED', false],
    ['COMMUNITY', true],
    ['PUBLIC', true],
  ])('that is %s is seen: %s', async (visibility, isSeen) => {
    const { images } = openImages();
    const { image } = await images.createImage(alice, newImage({ visibility }));
    if (isSeen) {
      expect((await images.getImage(bob, image.id)).image).toMatchObject({ id: image.id });
    } else {
      const { reason, message } = await failureOf(images.getImage(bob, image.id));
      const unknown = unknownId();
      const nobodys = await failureOf(images.getImage(bob, unknown));
      expect({ reason, message: message.replace(image.id, unknown) }).toEqual({
        reason: nobodys.reason,
        message: nobodys.message,
      });
    }
  });

  test.each(memberStatuses)(
    'that is shared is seen by a member that is %s, while it is SHARED',
    async (status) => {
      const { database, images } = openImages();
      const { image } = await images.createImage(alice, newImage({ visibility: 'SHARED' }));
      await share(database, image.id, bob, status);
      expect((await images.getImage(bob, image.id)).image.id).toBe(image.id);
      await images.updateImage(alice, change(image.id, { visibility: 'PRIVATE' }));
      expect((await failureOf(images.getImage(bob, image.id))).reason).toBe('IMAGE_NOT_FOUND');
    },
  );

  test('is not seen any more once it is deleted', async () => {
    const { images } = openImages();
    const { image } = await images.createImage(alice, newImage({ visibility: 'PUBLIC' }));
    await images.deleteImage(alice, { imageId: image.id, etag: '' });
    expect((await failureOf(images.getImage(bob, image.id))).reason).toBe('IMAGE_NOT_FOUND');
    expect((await images.getImage(alice, image.id)).image.state).toBe('DELETED');
  });

  test('is not changed by whoever sees it, and its faults and tasks are its owner’s', async () => {
    const { database, images } = openImages();
    const { image, task } = await images.createImage(alice, newImage({ visibility: 'PUBLIC' }));
    for (const call of [
      () => images.updateImage(bob, change(image.id, { name: 'x' })),
      () => images.deleteImage(bob, { imageId: image.id, etag: '' }),
      () =>
        listFaults(database, bob, {
          of: { kind: 'image', imageId: image.id },
          pageSize: 0,
          pageToken: '',
        }),
    ]) {
      expect(await failureOf(call())).toMatchObject({
        reason: 'IMAGE_NOT_OWNED',
        metadata: { image_id: image.id },
      });
    }
    const taskId = task?.task.id ?? '';
    expect((await failureOf(getTask(database, bob, taskId))).reason).toBe('TASK_NOT_FOUND');
  });
});

describe('an image becomes PUBLIC', () => {
  const member: Caller = { ...alice, role: 'member' };
  const admin: Caller = { ...alice, role: 'admin' };

  test('by an admin only, at its creation as later, where nothing else is set', async () => {
    const { database } = openImages();
    const { images } = imagesOn(database, undefined, { publicImagesBy: 'admins' });
    const refused = {
      reason: 'ROLE_INSUFFICIENT',
      metadata: { role: 'member', allowed_roles: 'admin' },
    };
    const create = images.createImage(member, newImage({ visibility: 'PUBLIC' }));
    expect(await failureOf(create)).toMatchObject(refused);
    const { image } = await images.createImage(member, newImage({ visibility: 'COMMUNITY' }));
    const publish = change(image.id, { visibility: 'PUBLIC' });
    expect(await failureOf(images.updateImage(member, publish))).toMatchObject(refused);
    expect((await images.updateImage(admin, publish)).image.visibility).toBe('PUBLIC');
    // What it is already takes no right.
    await images.updateImage(member, change(image.id, { visibility: 'PUBLIC', name: 'x' }));
  });
});

describe('lists', () => {
  const projects = ['p', 'q', 'r'] as const;
  interface Shared {
    readonly owner: number;
    readonly image: StoredImage;
    readonly members: readonly (ImageMember['status'] | undefined)[];
  }
  const shared: fc.Arbitrary<Shared> = fc.record({
    owner: fc.nat(2),
    image: fc.record({
      name: fc.constantFrom('a', 'b'),
      state: fc.constantFrom(...imageStates),
      visibility: fc.constantFrom(...visibilities),
      createTime: fc.constantFrom(new Date(1_700_000_000_000), new Date(1_700_000_000_001)),
    }),
    members: fc.array(fc.option(fc.constantFrom(...memberStatuses), { nil: undefined }), {
      minLength: 3,
      maxLength: 3,
    }),
  });
  const filters = fc.record({
    visibilities: fc.subarray([...visibilities]),
    memberStatuses: fc.subarray([...memberStatuses]),
    states: fc.subarray([...imageStates]),
    owner: fc.option(fc.nat(2), { nil: undefined }),
  });

  test('show what the rules say, each image once, in order, page by page', async () => {
    const { database, images } = openImages();
    await fc.assert(
      fc.asyncProperty(
        fc.array(shared, { maxLength: 12 }),
        filters,
        fc.constantFrom(...imageOrders),
        fc.integer({ min: 1, max: 5 }),
        async (specs, { owner, ...filter }, order, pageSize) => {
          const run = newId<ImageId>();
          const callers = projects.map((name): Caller => ({
            projectId: `${name} ${run}`,
            userId: 'ann',
            role: 'member',
          }));
          // Of earlier runs there are PUBLIC and COMMUNITY images, too, which are the same for all.
          await database.pool.query(`delete from image_members`);
          await database.pool.query(`update images set visibility = 'PRIVATE'`);
          const stored: { id: ImageId; spec: Shared }[] = [];
          for (const spec of specs) {
            const [id] = await storeImages(database, [spec.image], callers[spec.owner]);
            stored.push({ id: id!, spec });
            for (const [i, status] of spec.members.entries()) {
              if (status && i !== spec.owner) {
                await share(database, id!, callers[i]!, status);
              }
            }
          }
          for (const [viewer, caller] of callers.entries()) {
            const wanted = listOf(
              { ...filter, ...(owner !== undefined && { projectId: callers[owner]!.projectId }) },
              { order, pageSize },
            );
            const expected = stored.filter(({ spec }) =>
              isListed(spec, viewer, wanted.filter, owner),
            );
            const found: Image[] = [];
            let pageToken = '';
            do {
              const page = await images.listImages(caller, { ...wanted, pageToken });
              found.push(...page.rows.map(({ image }) => image));
              pageToken = page.nextPageToken;
            } while (pageToken !== '');
            expect(found.map(({ id }) => id).sort()).toEqual(expected.map(({ id }) => id).sort());
            const whole = await images.listImages(caller, { ...wanted, pageSize: 0 });
            expect(whole.rows.map(({ image }) => image.id)).toEqual(found.map(({ id }) => id));
          }
        },
      ),
      { numRuns: 60 },
    );
  }, 60_000);

  /** As Glance has it: what the contract says of lists, in other words. */
  function isListed(
    { owner, image, members }: Shared,
    viewer: number,
    filter: ImageFilter,
    ofOwner: number | undefined,
  ): boolean {
    const states: readonly string[] =
      filter.states.length > 0 ? filter.states : ['QUEUED', 'ACTIVE'];
    if (!states.includes(image.state!) || (ofOwner !== undefined && ofOwner !== owner)) {
      return false;
    }
    const isAsked = filter.visibilities.includes(image.visibility!);
    if (filter.visibilities.length > 0 && !isAsked) {
      return false;
    }
    if (owner === viewer) {
      return true;
    }
    if (image.state === 'DELETED') {
      return false;
    }
    switch (image.visibility!) {
      case 'PUBLIC':
        return true;
      case 'COMMUNITY':
        return isAsked || ofOwner !== undefined;
      case 'SHARED': {
        const statuses: readonly string[] =
          filter.memberStatuses.length > 0 ? filter.memberStatuses : ['ACCEPTED'];
        return statuses.includes(members[viewer] ?? 'none');
      }
      case 'PRIVATE':
        return false;
    }
  }
});
