import { expect, test } from 'vitest';
import type { Caller } from '../../src/access/caller.ts';
import { contentOf } from '../../src/images/download-image.ts';
import type { ImageId } from '../../src/records/ids.ts';
import { alice, change, failureOf, newImage, storeImages, useImages } from './images-world.ts';

const openImages = useImages();
const admin: Caller = { ...alice, role: 'admin' };

async function storeOne(): Promise<ImageId> {
  const [id] = await storeImages(openImages().database, [{}]);
  return id!;
}

test('the bytes of a deactivated image are for admins alone, until it is reactivated', async () => {
  const { images } = openImages();
  const id = await storeOne();
  const { image } = await images.updateImage(alice, change(id, { deactivated: true }));
  expect(image).toMatchObject({ state: 'ACTIVE', deactivated: true, version: 2 });
  expect(() => contentOf(alice, image)).toThrow(`Image ${id} is deactivated`);
  expect(contentOf(admin, image)).toMatchObject({ size: 1 });
  const { image: again } = await images.updateImage(alice, change(id, { deactivated: false }));
  expect(contentOf(alice, again)).toMatchObject({ size: 1 });
});

test('a deactivated image is not copied, by nobody', async () => {
  const { images } = openImages();
  const imageId = await storeOne();
  await images.updateImage(alice, change(imageId, { deactivated: true }));
  const copy = newImage(
    {},
    {
      source: {
        kind: 'copy_from',
        from: { kind: 'image', imageId },
        totalSize: undefined,
        sha256: undefined,
        sha512: undefined,
        maxSizeBytes: undefined,
        headers: {},
      },
    },
  );
  for (const caller of [alice, admin]) {
    expect((await failureOf(images.createImage(caller, copy))).reason).toBe('IMAGE_DEACTIVATED');
  }
});

test('an image without bytes cannot be deactivated, and one that is can be deleted', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  const error = await failureOf(images.updateImage(alice, change(image.id, { deactivated: true })));
  expect([error.reason, error.metadata]).toEqual([
    'IMAGE_STATE_INVALID',
    { image_id: image.id, state: 'QUEUED' },
  ]);
  const id = await storeOne();
  await images.updateImage(alice, change(id, { deactivated: true }));
  const deleted = await images.deleteImage(alice, { imageId: id, etag: '' });
  expect(deleted.image.state).toBe('DELETED');
});
