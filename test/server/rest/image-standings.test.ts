import { beforeAll, expect, test } from 'vitest';
import { imageStandings, type ImageStanding } from '../../../src/images/image-standing.ts';
import { newId, type ProcessId } from '../../../src/records/ids.ts';
import { Image } from '../../../src/records/image.ts';
import { Task, taskTypes } from '../../../src/records/task.ts';
import { imageStatus } from '../../../src/server/rest/image-status.ts';
import { alice, listOf, newImage, storeImages, useImages } from '../../images/images-world.ts';

const openImages = useImages();

/** Images in all ways in which they and their newest task can be together. */
beforeAll(async () => {
  const { database, images } = openImages();
  await storeImages(database, [{}, { deactivated: true }, { state: 'DELETED' }]);
  const em = database.fork();
  for (const type of taskTypes) {
    for (const [isStaging, stagedSize, finishSize, isWritten, isLive] of everyWay()) {
      const { task } = await images.createImage(alice, newImage());
      const time = new Date();
      const committedSize = stagedSize ?? 0;
      await em.nativeUpdate(
        Task,
        { id: task!.task.id },
        {
          type,
          isStaging,
          stagedSize,
          finishSize,
          committedSize,
          ...(isWritten && {
            writerProcessId: newId<ProcessId>(),
            writerSince: time,
            writerPeer: 'test',
          }),
          ...(!isLive && { state: 'FAILED', expireTime: null, finishTime: time }),
        },
      );
    }
  }
});

function* everyWay(): Generator<[boolean, number | null, number | null, boolean, boolean]> {
  for (const isStaging of [true, false]) {
    for (const stagedSize of [null, 5]) {
      for (const finishSize of [null, 5]) {
        for (const isWritten of [true, false]) {
          // What has ended has no writer.
          for (const isLive of isWritten ? [true] : [true, false]) {
            yield [isStaging, stagedSize, finishSize, isWritten, isLive];
          }
        }
      }
    }
  }
}

test('lists find images by just the status that each of them is told with', async () => {
  const { database, images } = openImages();
  const em = database.fork();
  const all = await em.find(Image, { state: { $ne: 'DELETED' } });
  const statuses = await Promise.all(
    all.map(async (image) => {
      const task = image.latestTaskId
        ? await em.findOneOrFail(Task, { id: image.latestTaskId })
        : undefined;
      return [image.id, imageStatus(image, task)] as const;
    }),
  );
  expect(new Set(statuses.map(([, status]) => status.toUpperCase()))).toEqual(
    new Set(imageStandings),
  );
  const idsOf = async (standings: readonly ImageStanding[]): Promise<Set<string>> => {
    const page = await images.listImages(alice, listOf({ standings }, { pageSize: 1000 }));
    return new Set(page.rows.map(({ image }) => image.id));
  };
  for (const standing of imageStandings) {
    const expected = statuses.filter(([, status]) => status.toUpperCase() === standing);
    expect([standing, await idsOf([standing])]).toEqual([
      standing,
      new Set(expected.map(([id]) => id)),
    ]);
  }
  expect(await idsOf(imageStandings)).toEqual(new Set(all.map(({ id }) => id)));
});
