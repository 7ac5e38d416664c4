import { expect, test } from 'vitest';
import { etagOf } from '../../src/records/image-etag.ts';
import { failureOf, newImage, useImages, alice, change } from './images-world.ts';

const openImages = useImages();

/** Of a request with the id "protected", as the version before this field wrote it down. */
const digestBefore = 'd988b358cbb80b175dfc182ece3b39f3b11f43ddd7b4032da063be1d673f632f';

test('a protected image is not deleted, and nothing of it is given up, until it is protected no more', async () => {
  let releases = 0;
  const { images } = openImages(() => (releases += 1));
  const { image } = await images.createImage(alice, newImage({ protected: true }));
  expect(image.protected).toBe(true);

  const error = await failureOf(images.deleteImage(alice, { imageId: image.id, etag: '' }));
  expect(error).toMatchObject({ reason: 'IMAGE_PROTECTED', metadata: { image_id: image.id } });
  expect(releases).toBe(0);
  const { image: kept } = await images.getImage(alice, image.id);
  expect(kept).toMatchObject({ state: 'QUEUED', outlook: 'EXPECTED', version: 1 });

  const { image: open } = await images.updateImage(alice, change(image.id, { protected: false }));
  expect(open).toMatchObject({ protected: false, version: 2 });
  await images.deleteImage(alice, { imageId: image.id, etag: etagOf(open) });
  expect(releases).toBe(1);
});

test('a protected image takes all other changes', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage({ protected: true }));
  const { image: changed } = await images.updateImage(alice, change(image.id, { name: 'other' }));
  expect(changed).toMatchObject({ name: 'other', protected: true });
});

test('an image that was deleted is answered so, whatever was asked for before', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  await images.deleteImage(alice, { imageId: image.id, etag: '' });
  const error = await failureOf(images.updateImage(alice, change(image.id, { protected: true })));
  expect(error.reason).toBe('IMAGE_STATE_INVALID');
});

test('of a deletion and a protection at the same time, the first one wins, and the other is told', async () => {
  const { images } = openImages();
  for (let round = 0; round < 20; round += 1) {
    const { image } = await images.createImage(alice, newImage());
    const [deletion, protection] = await Promise.allSettled([
      images.deleteImage(alice, { imageId: image.id, etag: '' }),
      images.updateImage(alice, change(image.id, { protected: true })),
    ]);
    const { image: now } = await images.getImage(alice, image.id);
    if (deletion.status === 'fulfilled') {
      expect(now).toMatchObject({ state: 'DELETED', protected: false });
      expect(protection).toMatchObject({ reason: { reason: 'IMAGE_STATE_INVALID' } });
    } else {
      expect(deletion.reason).toMatchObject({ reason: 'IMAGE_PROTECTED' });
      expect(now).toMatchObject({ state: 'QUEUED', protected: true });
    }
  }
});

test('the same request id with another protection is refused, and without one is known from before there was any', async () => {
  const { images, database } = openImages();
  const plain = newImage({}, { requestId: 'protected' });
  const { image } = await images.createImage(alice, plain);
  expect((await images.createImage(alice, plain)).image.id).toBe(image.id);
  const error = await failureOf(
    images.createImage(alice, newImage({ protected: true }, { requestId: 'protected' })),
  );
  expect(error.reason).toBe('REQUEST_ID_REUSED');
  const { rows } = await database.pool.query<{ request_digest: string }>(
    'select request_digest from images where id = $1',
    [image.id],
  );
  expect(rows).toEqual([{ request_digest: digestBefore }]);
});
