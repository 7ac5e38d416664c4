import { expect, test } from 'vitest';
import { etagOf } from '../../src/records/image-etag.ts';
import {
  alice,
  bob,
  change,
  failureOf,
  listOf,
  newImage,
  useImages,
  refusedFields,
  unknownId,
} from './images-world.ts';

const openImages = useImages();

test('changes what the mask names and nothing else, and the etag with it', async () => {
  const { images } = openImages();
  const { image: before } = await images.createImage(
    alice,
    newImage({ name: 'old', tags: ['a', 'b'], properties: { a: '1' } }),
  );
  const { image } = await images.updateImage(alice, {
    ...change(before.id, { name: 'new', tags: ['c'], minRamBytes: 5 }, etagOf(before)),
    paths: ['name', 'tags', 'name'],
  });
  expect(image).toMatchObject({
    name: 'new',
    tags: ['c'],
    properties: { a: '1' },
    minRamBytes: 0,
    version: 2,
  });
  expect(image.updateTime.getTime()).toBeGreaterThanOrEqual(before.updateTime.getTime());
  expect(etagOf(image)).not.toBe(etagOf(before));
  expect((await images.getImage(alice, before.id)).image).toMatchObject({
    name: 'new',
    version: 2,
  });
});

test('every field can be changed and set back to nothing', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  const values = {
    name: 'new',
    minDiskBytes: 2 ** 53 - 1,
    minRamBytes: 3,
    properties: { 'a?': '\\"' },
    tags: ['x', 'y'],
    visibility: 'COMMUNITY',
  };
  await images.updateImage(alice, change(image.id, values));
  expect((await images.getImage(alice, image.id)).image).toMatchObject(values);

  const empty = {
    minDiskBytes: 0,
    minRamBytes: 0,
    properties: {},
    tags: [],
    visibility: undefined,
  };
  await images.updateImage(alice, change(image.id, empty));
  const { image: emptied } = await images.getImage(alice, image.id);
  expect(emptied).toMatchObject({
    minDiskBytes: 0,
    minRamBytes: 0,
    tags: [],
    visibility: 'PRIVATE',
  });
  expect(emptied.properties).toEqual({});
});

test('an update that changes nothing keeps the etag and the time', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(
    alice,
    newImage({ tags: ['a'], properties: { a: 'b' } }),
  );
  const { image: same } = await images.updateImage(
    alice,
    change(image.id, { name: 'ubuntu', tags: ['a'], properties: { a: 'b' } }),
  );
  expect(same).toMatchObject({ version: 1, updateTime: image.updateTime });
});

test('of many updates with one etag at the same time, just one wins', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  const outcomes = await Promise.allSettled(
    Array.from({ length: 8 }, (_, i) =>
      images.updateImage(alice, change(image.id, { name: `n${i}` }, etagOf(image))),
    ),
  );
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') {
      expect(outcome.reason).toMatchObject({ reason: 'ETAG_MISMATCH' });
    }
  }
});

test('updates without an etag at the same time all take effect', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      images.updateImage(alice, change(image.id, { name: `n${i}` })),
    ),
  );
  expect((await images.getImage(alice, image.id)).image.version).toBe(9);
});

test('a stale, a malformed and another image’s etag are mismatches', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  const { image: other } = await images.createImage(alice, newImage());
  await images.updateImage(alice, change(other.id, { name: 'x' }));
  for (const etag of [etagOf(image), 'garbage', '"', '\0', etagOf(other)]) {
    const error = await failureOf(images.updateImage(alice, change(other.id, { name: 'y' }, etag)));
    expect(error.reason).toBe('ETAG_MISMATCH');
  }
});

test('a deleted image takes no changes', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  await images.deleteImage(alice, { imageId: image.id, etag: '' });
  const error = await failureOf(images.updateImage(alice, change(image.id, { name: 'x' })));
  expect(error.reason).toBe('IMAGE_STATE_INVALID');
});

test('an image of another project is not there', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  for (const call of [
    () => images.updateImage(bob, change(image.id, { name: 'x' })),
    () => images.getImage(bob, image.id),
    () => images.deleteImage(bob, { imageId: image.id, etag: '' }),
    () => images.updateImage(alice, change(unknownId(), { name: 'x' })),
    () => images.getImage(alice, unknownId()),
    () => images.deleteImage(alice, { imageId: unknownId(), etag: '' }),
  ]) {
    expect((await failureOf(call())).reason).toBe('IMAGE_NOT_FOUND');
  }
  expect((await images.listImages(bob, listOf())).rows).toEqual([]);
});

test('ids in upper case are taken, texts that are no UUID are refused', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  expect((await images.getImage(alice, image.id.toUpperCase())).image.id).toBe(image.id);
  for (const id of ['', 'x', `${image.id} `, '\0', "' or 1=1 --", image.id.replaceAll('-', '')]) {
    expect(await refusedFields(images.getImage(alice, id))).toEqual(['image_id']);
    expect(await refusedFields(images.deleteImage(alice, { imageId: id, etag: '' }))).toEqual([
      'image_id',
    ]);
    expect(await refusedFields(images.updateImage(alice, change(id, { name: 'x' })))).toEqual([
      'image.id',
    ]);
  }
});

test.each([
  ['nothing', [], 'must name what is to change'],
  ['everything', ['*'], '"*"; it may name name, disk_format'],
  ['an unknown field', ['colour'], '"colour"; it may name'],
  ['part of a map', ['properties.os'], '"properties.os"'],
  ['an empty path', [''], '""'],
  ['what the service sets', ['state'], 'state, which the service sets'],
  ['the id', ['id'], 'id, which the service sets'],
])('a mask that names %s is refused', async (_, paths, text) => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  const error = await failureOf(images.updateImage(alice, { ...change(image.id, {}), paths }));
  expect(error.reason).toBe('FIELD_INVALID');
  expect(error.fieldViolations).toEqual([
    { field: 'update_mask', description: expect.stringContaining(text) as string },
  ]);
});

test('all that is wrong is told at once; what the mask does not name may be wrong', async () => {
  const { images } = openImages();
  const wrong = {
    name: '\n',
    minDiskBytes: -1,
    minRamBytes: Number.NaN,
    properties: { a: '\0' },
    tags: ['a', 'a'],
    visibility: 'X',
  };
  const request = change('?', wrong);
  expect((await refusedFields(images.updateImage(alice, request))).sort()).toEqual([
    'image.id',
    'image.min_disk_bytes',
    'image.min_ram_bytes',
    'image.name',
    'image.properties["a"]',
    'image.tags[1]',
    'image.visibility',
  ]);
  const { image } = await images.createImage(alice, newImage());
  const { image: changed } = await images.updateImage(alice, {
    ...change(image.id, { ...wrong, name: 'fine' }),
    paths: ['name'],
  });
  expect(changed.name).toBe('fine');
});
