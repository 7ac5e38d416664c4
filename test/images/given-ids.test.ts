import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { alice, bob, failureOf, newImage, useImages } from './images-world.ts';

const openImages = useImages();

test('an image gets the id that its maker wants', async () => {
  const { images } = openImages();
  const id = randomUUID();
  const { image, task } = await images.createImage(
    alice,
    newImage({}, { imageId: id.toUpperCase() }),
  );
  expect(image.id).toBe(id);
  expect(task?.task).toMatchObject({ imageId: id, state: 'PENDING' });
});

test('the same request with the same id gets the same image and task, whatever happened to it since', async () => {
  const { images } = openImages();
  const request = newImage({ tags: ['a'] }, { imageId: randomUUID() });
  const first = await images.createImage(alice, request);
  const again = await images.createImage(alice, request);
  expect([again.image.id, again.task?.task.id]).toEqual([first.image.id, first.task?.task.id]);
  const other = newImage({ tags: ['b'] }, { imageId: request.imageId });
  const error = await failureOf(images.createImage(alice, other));
  expect(error).toMatchObject({
    reason: 'IMAGE_EXISTS',
    metadata: { image_id: request.imageId },
  });
});

test('an id is nobody else’s, and is never used again', async () => {
  const { images } = openImages();
  const request = newImage({}, { imageId: randomUUID() });
  await images.createImage(alice, request);
  const foreign = await failureOf(images.createImage(bob, request));
  expect(foreign).toMatchObject({
    reason: 'IMAGE_EXISTS',
    metadata: { image_id: request.imageId },
  });
  await images.deleteImage(alice, { imageId: request.imageId, etag: '' });
  const error = await failureOf(images.createImage(alice, request));
  expect([error.reason, error.message]).toEqual([
    'IMAGE_EXISTS',
    expect.stringContaining('deleted since'),
  ]);
  // Somebody else is told neither whose it is nor what became of it.
  const later = await failureOf(images.createImage(bob, request));
  expect([later.message, later.metadata]).toEqual([foreign.message, foreign.metadata]);
});

test('an image that the service gave its id is not taken for one that was given it', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  const error = await failureOf(images.createImage(alice, newImage({}, { imageId: image.id })));
  expect(error.reason).toBe('IMAGE_EXISTS');
});

test('of the same request many times at once one makes the image, and all get it', async () => {
  const { images } = openImages();
  const request = newImage({}, { imageId: randomUUID() });
  const answers = await Promise.all(
    Array.from({ length: 8 }, () => images.createImage(alice, request)),
  );
  expect(new Set(answers.map(({ task }) => task?.task.id)).size).toBe(1);
});

test('of several requests for one id at once one wins, and the others are told', async () => {
  const { images } = openImages();
  const imageId = randomUUID();
  const answers = await Promise.allSettled(
    Array.from({ length: 8 }, (_, i) =>
      images.createImage(alice, newImage({ name: `n${i}` }, { imageId })),
    ),
  );
  expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  for (const answer of answers) {
    if (answer.status === 'rejected') {
      expect(answer.reason).toMatchObject({ reason: 'IMAGE_EXISTS' });
    }
  }
});

test('an admin who acts in any project makes images for others, and nobody else does', async () => {
  const { images } = openImages();
  const request = newImage({}, { projectId: bob.projectId });
  for (const caller of [alice, { ...alice, role: 'admin' as const }]) {
    const { reason } = await failureOf(images.createImage(caller, request));
    expect(reason).toBe('PROJECT_NOT_ALLOWED');
  }
  const admin = { ...alice, role: 'admin', actsAnywhere: true } as const;
  const { image } = await images.createImage(admin, request);
  expect((await images.getImage(bob, image.id)).image.projectId).toBe(bob.projectId);
  expect((await failureOf(images.getImage(alice, image.id))).reason).toBe('IMAGE_NOT_FOUND');
  const own = newImage({}, { projectId: alice.projectId });
  expect((await images.createImage(alice, own)).image.projectId).toBe(alice.projectId);
});
