import { expect, test } from 'vitest';
import type { Caller } from '../../src/access/caller.ts';
import { getTask } from '../../src/tasks/reading/task-queries.ts';
import { countedAndTrue, quotasOn } from '../quotas/quota-world.ts';
import { connectTestDatabase } from '../support/test-database.ts';
import { alice, bob, change, failureOf, imagesOn, newImage, useImages } from './images-world.ts';

const openImages = useImages();
const admin: Caller = { ...alice, role: 'admin', actsAnywhere: true };

test('an image that is given away is the taker’s with its tasks, and the giver’s no more', async () => {
  const { images, database } = openImages();
  const { image, task } = await images.createImage(alice, newImage({}, { requestId: 'given' }));
  const given = await images.updateImage(
    admin,
    change(image.id, { projectId: bob.projectId, name: 'yours' }),
  );
  expect(given.image).toMatchObject({ projectId: bob.projectId, name: 'yours', requestId: null });
  expect((await failureOf(images.getImage(alice, image.id))).reason).toBe('IMAGE_NOT_FOUND');
  expect((await images.getImage(bob, image.id)).image.name).toBe('yours');
  const taskId = task!.task.id;
  expect((await getTask(database, bob, taskId)).task).toMatchObject({ projectId: bob.projectId });
  expect((await failureOf(getTask(database, alice, taskId))).reason).toBe('TASK_NOT_FOUND');
  // The giver may use the request id again.
  const again = await images.createImage(alice, newImage({}, { requestId: 'given' }));
  expect(again.image.id).not.toBe(image.id);
});

test('nobody but an admin who acts in any project gives images away', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(alice, newImage());
  const request = change(image.id, { projectId: bob.projectId });
  for (const caller of [alice, { ...alice, role: 'admin' as const }]) {
    const { reason } = await failureOf(images.updateImage(caller, request));
    expect(reason).toBe('PROJECT_NOT_ALLOWED');
  }
  const same = change(image.id, { projectId: alice.projectId });
  expect((await images.updateImage(alice, same)).image.version).toBe(1);
});

test('what is given away counts for its taker, whose quota it must not pass', async () => {
  const database = await connectTestDatabase();
  const { images } = imagesOn(database);
  await quotasOn(database).update(alice.projectId, { images: 9 }, undefined);
  await quotasOn(database).update(bob.projectId, { images: 1 }, undefined);
  const made = await Promise.all([1, 2].map(() => images.createImage(alice, newImage())));
  const [first, second] = made.map(({ image }) => change(image.id, { projectId: bob.projectId }));
  await images.updateImage(admin, first!);
  const refused = await failureOf(images.updateImage(admin, second!));
  expect([refused.reason, refused.metadata['quota']]).toEqual(['QUOTA_EXCEEDED', 'images']);
  for (const { projectId } of [alice, bob]) {
    const { counted, truth } = await countedAndTrue(database, projectId);
    expect(counted).toEqual(truth);
    expect(counted).toMatchObject({ images: 1, live_tasks: 1 });
  }
});
