import { expect, test } from 'vitest';
import { attachWriter } from '../../src/uploads/lease/attach-writer.ts';
import { alice, change, failureOf, newImage, storeImages, useImages } from './images-world.ts';
import { newId, type ProcessId } from '../../src/records/ids.ts';
import { Task } from '../../src/records/task.ts';
import { TaskLedger } from '../../src/tasks/ledger/task-ledger.ts';

const openImages = useImages();

test('an image may have no name and no formats yet, and gets them later', async () => {
  const { images } = openImages();
  const { image } = await images.createImage(
    alice,
    newImage({ name: '', diskFormat: undefined, containerFormat: undefined }),
  );
  expect(image).toMatchObject({ name: '', diskFormat: null, containerFormat: null });
  const values = { name: 'later', diskFormat: 'QCOW2', containerFormat: 'BARE' };
  const { image: known } = await images.updateImage(alice, change(image.id, values));
  expect(known).toMatchObject(values);
  const { image: unknown } = await images.updateImage(
    alice,
    change(image.id, { diskFormat: undefined, containerFormat: null }),
  );
  expect(unknown).toMatchObject({ diskFormat: null, containerFormat: null });
});

test('a container is BARE if nothing else is said of a disk, and unknown if that is said', async () => {
  const { images } = openImages();
  const made = await Promise.all(
    [undefined, null, 'OVA'].map((containerFormat) =>
      images.createImage(alice, newImage({ containerFormat })),
    ),
  );
  expect(made.map(({ image }) => image.containerFormat)).toEqual(['BARE', null, 'OVA']);
});

async function attach(taskId: string): ReturnType<typeof attachWriter> {
  return attachWriter(
    new TaskLedger(openImages().database),
    taskId as never,
    {
      role: { kind: 'client', caller: alice, epoch: undefined },
      processId: newId<ProcessId>(),
      peer: 'test',
      isHeldBesides: () => false,
    },
    { maxUploads: 10, maxUploadsOfProject: 10 } as never,
  );
}

test.each([
  ['disk_format and container_format', { diskFormat: undefined, containerFormat: undefined }],
  ['disk_format', { diskFormat: undefined, containerFormat: 'BARE' }],
  ['container_format', { containerFormat: null }],
])(
  'no bytes are taken before %s is set, and nothing is changed by the try',
  async (what, fields) => {
    const { images, database } = openImages();
    const { image, task } = await images.createImage(alice, newImage(fields));
    const error = await failureOf(attach(task!.task.id));
    expect([error.reason, error.message]).toEqual([
      'FORMAT_NOT_SET',
      expect.stringContaining(`has no ${what} yet`),
    ]);
    const now = await database.fork().findOneOrFail(Task, { id: task!.task.id });
    expect(now).toMatchObject({ state: 'PENDING', revision: 1, writerProcessId: null });
    await images.updateImage(
      alice,
      change(image.id, { diskFormat: 'RAW', containerFormat: 'BARE' }),
    );
    const attached = await attach(task!.task.id);
    expect(attached).toMatchObject({
      kind: 'lease',
      lease: { declared: { diskFormat: 'RAW', containerFormat: 'BARE' } },
    });
    // What came began as that.
    const late = await failureOf(
      images.updateImage(alice, change(image.id, { diskFormat: 'ISO' })),
    );
    expect([late.reason, late.message]).toEqual([
      'IMAGE_STATE_INVALID',
      expect.stringContaining('its bytes are just coming'),
    ]);
    const same = { diskFormat: 'RAW', containerFormat: 'BARE', name: 'other' };
    const { image: renamed } = await images.updateImage(alice, change(image.id, same));
    expect(renamed).toMatchObject(same);
  },
);

test('the formats of an image that has its bytes stay', async () => {
  const { images, database } = openImages();
  const [id] = await storeImages(database, [{}]);
  const error = await failureOf(images.updateImage(alice, change(id!, { diskFormat: 'QCOW2' })));
  expect([error.reason, error.metadata['state']]).toEqual(['IMAGE_STATE_INVALID', 'ACTIVE']);
});

test('what a task unpacks is of a known format, and stored bare', async () => {
  const { images } = openImages();
  const source = {
    kind: 'upload',
    totalSize: undefined,
    sha256: undefined,
    decompress: true,
  } as const;
  const { image } = await images.createImage(alice, newImage({}, { source }));
  for (const values of [{ containerFormat: 'OVA' }, { diskFormat: undefined }]) {
    const error = await failureOf(images.updateImage(alice, change(image.id, values)));
    expect(error.reason).toBe('IMAGE_STATE_INVALID');
  }
});
