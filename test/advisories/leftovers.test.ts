import { randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type ImageSchema, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State } from '../../gen/darkroom/v1/task_pb.ts';
import { changed, u32, u64 } from '../formats/changes.ts';
import { QemuFolder } from '../formats/qemu-images.ts';
import { revokeToken } from '../../src/identity/static-tokens/token-store.ts';
import { parseToken } from '../../src/identity/static-tokens/token-text.ts';
import { serves, startSource } from '../imports/source-server.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasProgram } from '../support/disk-images.ts';
import { failureOf } from '../support/failures.ts';
import { patience } from '../support/held-upload.ts';
import { uploadFrames } from '../support/running-service.ts';
import { peakMemory } from '../support/sound-service.ts';
import {
  activeImage,
  disk,
  endOf,
  expectNothing,
  importFrom,
  startCloud,
  type Cloud,
  type Person,
} from './cloud.ts';

const MiB = 1024 * 1024;
const cleanUps = new CleanUps();
let cloud: Cloud;
let operator: Person;
let projects = 0;

/** The largest image that this cloud takes. */
const maxImageBytes = 24 * MiB;

beforeAll(async () => {
  cloud = await startCloud(
    {
      DARKROOM_MAX_IMAGE_BYTES: String(maxImageBytes),
      DARKROOM_COMMIT_BYTES: String(MiB),
      DARKROOM_REPAIR_INTERVAL_MS: '1000',
      DARKROOM_FAILED_BYTES_RETENTION_MS: '0',
    },
    cleanUps.defer,
  );
  operator = await cloud.person('operators', 'admin');
  return cleanUps.run;
});

/** Somebody of a new project, with limits of its own. */
async function tenant(limits: Readonly<Record<string, bigint>>): Promise<Person> {
  const project = `tenant-${(projects += 1)}`;
  await operator.quotas.updateQuota({
    projectId: project,
    limits,
    updateMask: {
      paths: Object.keys(limits).map((name) =>
        name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`),
      ),
    },
  });
  return cloud.person(project, 'member');
}

/** Files of segments in the store. */
async function storedFiles(): Promise<number> {
  const entries = await readdir(join(cloud.service.dataDir, 'blobs'), { recursive: true });
  return entries.filter((entry) => /[0-9a-f-]{36}$/.test(entry)).length;
}

/** Holds that a project has nothing in the store any more, by what is counted and by the files that there are. */
async function expectNothingLeft(person: Person, filesBefore: number): Promise<void> {
  await expect
    .poll(async () => (await person.quotas.getQuota({})).quota?.usage, patience)
    .toMatchObject({ storedBytes: 0n, inFlightBytes: 0n, images: 0n, liveTasks: 0n });
  await expect.poll(storedFiles, patience).toBe(filesBefore);
}

/** An upload that sends its first bytes and then waits. */
function heldUpload(person: Person, taskId: string, bytes: Uint8Array) {
  const released = Promise.withResolvers<void>();
  async function* frames() {
    yield* uploadFrames(bytes, { taskId, until: bytes.length, chunkBytes: MiB });
    await released.promise;
  }
  const answer = person.images.uploadImage(frames());
  answer.catch(() => {});
  return { answer, release: () => released.resolve() };
}

async function begunUpload(person: Person, bytes: Uint8Array, value: object = {}) {
  const { image, task } = await person.images.createImage({
    image: disk('under way'),
    source: { case: 'upload', value },
  });
  const [imageId, taskId] = [image!.id, task!.id];
  const held = heldUpload(person, taskId, bytes);
  await expect
    .poll(async () => (await person.tasks.getTask({ taskId })).task?.progress?.bytesDone, patience)
    .toBe(BigInt(bytes.length));
  return { imageId, taskId, ...held };
}

/**
 * OSSA-2015-003 (CVE-2014-9623): bytes of an image that was deleted while it was uploaded counted against no quota.
 * OSSA-2015-020 (CVE-2015-5286): nor did they ever go, where the token had expired meanwhile.
 */
describe('an image that is deleted while its bytes come', () => {
  test('leaves no bytes, and gives its room back', async () => {
    const before = await storedFiles();
    const ann = await tenant({ storedBytes: BigInt(10 * MiB) });
    for (let i = 0; i < 4; i += 1) {
      const { imageId, answer, release } = await begunUpload(ann, randomBytes(8 * MiB));
      await ann.images.deleteImage({ imageId });
      release();
      expect((await failureOf(answer)).reason).toBe('TASK_TERMINAL');
    }
    await expectNothingLeft(ann, before);
  });

  test('leaves none either where the token has ended by then', async () => {
    const before = await storedFiles();
    const ann = await tenant({ storedBytes: BigInt(10 * MiB) });
    const passing = await cloud.person(ann.project, 'member');
    const { imageId, answer, release } = await begunUpload(passing, randomBytes(8 * MiB));
    const { id } = parseToken(passing.headers['authorization']!.slice('Bearer '.length))!;
    revokeToken(cloud.tokensFile, id);
    expect((await failureOf(answer)).reason).toBe('CREDENTIAL_INVALID');
    release();
    // What is committed counts until it is deleted, by whoever may.
    expect((await ann.quotas.getQuota({})).quota?.usage?.storedBytes).toBe(BigInt(8 * MiB));
    const { task } = await ann.images.createImage({
      image: disk('too much'),
      source: { case: 'upload', value: {} },
    });
    const more = ann.images.uploadImage(uploadFrames(randomBytes(8 * MiB), { taskId: task!.id }));
    expect((await failureOf(more)).reason).toBe('QUOTA_EXCEEDED');
    await ann.tasks.cancelTask({ taskId: task!.id });
    await ann.images.deleteImage({ imageId });
    await ann.images.deleteImage({ imageId: (await ann.images.listImages({})).images[0]!.id });
    await expectNothingLeft(ann, before);
  });

  /** OSSA-2015-004 (CVE-2014-9684, CVE-2015-1881), OSSA-2015-013 (CVE-2015-3289): imports left theirs in the store. */
  test('leaves none where the service fetched them, nor when it is deleted as soon as it is there', async () => {
    const before = await storedFiles();
    const ann = await tenant({ storedBytes: BigInt(10 * MiB) });
    const bytes = randomBytes(2 * MiB);
    const slow = await startSource((_, response) => {
      response.writeHead(200, { 'content-length': 2 * bytes.length });
      response.write(bytes);
    });
    const quick = await startSource(serves(bytes));
    for (let i = 0; i < 4; i += 1) {
      const held = await importFrom(ann, `${slow.origin}/x`);
      await expect
        .poll(
          async () => (await ann.tasks.getTask({ taskId: held.taskId })).task?.progress?.bytesDone,
          patience,
        )
        .toBe(BigInt(bytes.length));
      await ann.images.deleteImage({ imageId: held.imageId });
      const whole = await importFrom(ann, `${quick.origin}/x`);
      expect((await endOf(ann, whole.taskId)).state).toBe(Task_State.SUCCEEDED);
      await ann.images.deleteImage({ imageId: whole.imageId });
      // And one of which nobody knows how far it has come.
      const begun = await importFrom(ann, `${quick.origin}/x`);
      await ann.images.deleteImage({ imageId: begun.imageId });
    }
    await expectNothingLeft(ann, before);
  });
});

/** What is staged for an import is no image yet: nobody would miss it, and nobody would look for it. */
describe('bytes that are staged and not imported', () => {
  const octets = { 'content-type': 'application/octet-stream' };

  async function staged(
    person: Person,
    value: object = {},
  ): Promise<{ imageId: string; taskId: string }> {
    const { image, task } = await person.images.createImage({
      image: disk('staged'),
      source: { case: 'upload', value: {} },
      ...value,
    });
    const { status } = await person.rest('PUT', `/v2/images/${image!.id}/stage`, {
      headers: octets,
      body: randomBytes(2 * MiB),
    });
    expect(status).toBe(204);
    const { usage } = (await person.quotas.getQuota({})).quota!;
    expect(usage).toMatchObject({ inFlightBytes: BigInt(2 * MiB) });
    return { imageId: image!.id, taskId: task!.id };
  }

  test('count, and go with their image', async () => {
    const before = await storedFiles();
    const ann = await tenant({ storedBytes: BigInt(3 * MiB) });
    for (let i = 0; i < 3; i += 1) {
      const { imageId } = await staged(ann);
      expect((await ann.rest('GET', `/v2/images/${imageId}/file`)).body.length).toBeLessThan(MiB);
      expect((await ann.rest('DELETE', `/v2/images/${imageId}`)).status).toBe(204);
      // Room comes back with the row, and the file goes after it.
      await expect
        .poll(async () => (await ann.quotas.getQuota({})).quota?.usage?.storedBytes, patience)
        .toBe(0n);
    }
    await expectNothingLeft(ann, before);
  });

  test('go when nobody imports them in time', async () => {
    const before = await storedFiles();
    const ann = await tenant({ storedBytes: BigInt(3 * MiB) });
    const { imageId, taskId } = await staged(ann, { idleTimeout: { seconds: 1n } });
    expect((await endOf(ann, taskId)).lastFault?.reason).toBe('TASK_EXPIRED');
    await expect
      .poll(async () => (await ann.quotas.getQuota({})).quota?.usage?.storedBytes, patience)
      .toBe(0n);
    const late = await ann.rest('POST', `/v2/images/${imageId}/import`, {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ method: { name: 'glance-direct' } }),
    });
    expect(late.status).toBe(409);
    await ann.images.deleteImage({ imageId });
    await expectNothingLeft(ann, before);
  });

  test.each(['file', 'stage'])(
    'or sent by PUT to %s, end at the quota, and at the largest image',
    async (place) => {
      const before = await storedFiles();
      for (const [limit, size, reason] of [
        [BigInt(3 * MiB), 8 * MiB, /quota/i],
        [-1n, maxImageBytes + 2 * MiB, /largest|at most|limit|size/i],
      ] as const) {
        const ann = await tenant({ storedBytes: limit });
        const { image } = await ann.images.createImage({
          image: disk('too large'),
          source: { case: 'upload', value: {} },
        });
        const { status, body } = await ann.rest('PUT', `/v2/images/${image!.id}/${place}`, {
          headers: octets,
          body: randomBytes(size),
        });
        expect(status).toBe(413);
        expect(body.toString()).toMatch(reason);
        const { usage } = (await ann.quotas.getQuota({})).quota!;
        expect(Number(usage?.storedBytes)).toBeLessThanOrEqual(
          limit < 0 ? maxImageBytes : Number(limit),
        );
        await ann.images.deleteImage({ imageId: image!.id });
        await expectNothingLeft(ann, before);
      }
    },
  );
});

/** OSSA-2014-028 (CVE-2014-5356): what was uploaded was held against no limit. */
describe('the size of an image', () => {
  test.each(['nothing', 'too little', 'as much as is allowed'])(
    'ends at the limit, where the client has said %s of it',
    async (said) => {
      const before = await storedFiles();
      const ann = await tenant({ storedBytes: -1n });
      const total =
        { nothing: undefined, 'too little': 10n }[said] ??
        (said === 'nothing' ? undefined : BigInt(maxImageBytes));
      const { image, task } = await ann.images.createImage({
        image: disk('endless'),
        source: { case: 'upload', value: total === undefined ? {} : { totalSize: total } },
      });
      let sent = 0;
      async function* endless() {
        yield { frame: { case: 'header', value: { taskId: task!.id } } } as const;
        const data = randomBytes(MiB);
        for (; sent < 10 * maxImageBytes; sent += data.length) {
          yield { frame: { case: 'chunk', value: { offset: BigInt(sent), data } } } as const;
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
      expect((await failureOf(ann.images.uploadImage(endless()))).reason).toBe('SIZE_EXCEEDED');
      expect(sent).toBeLessThan(4 * maxImageBytes);
      const { usage } = (await ann.quotas.getQuota({})).quota!;
      expect(Number(usage?.storedBytes)).toBeLessThanOrEqual(maxImageBytes);
      await ann.images.deleteImage({ imageId: image!.id });
      await expectNothingLeft(ann, before);
    },
  );

  test('is not what a client says of it', async () => {
    const ann = await tenant({ storedBytes: BigInt(4 * MiB) });
    const create = ann.images.createImage({
      image: { ...disk('claimed'), sizeBytes: 1n },
      source: { case: 'upload', value: { totalSize: BigInt(8 * MiB) } },
    });
    expect((await failureOf(create)).reason).toBe('QUOTA_EXCEEDED');
    const { imageId } = await activeImage(ann, randomBytes(MiB), { sizeBytes: 1n });
    expect((await ann.images.getImage({ imageId })).image?.sizeBytes).toBe(BigInt(MiB));
    expect((await ann.quotas.getQuota({})).quota?.usage?.storedBytes).toBe(BigInt(MiB));
  });
});

/**
 * OSSA-2013-012 (CVE-2013-2096), OSSA-2013-029 (CVE-2013-4463, CVE-2013-4469): few bytes became a full disk.
 * OSSA-2016-012 (CVE-2015-5162): few bytes took all memory and all CPU of what looked into them.
 */
describe('few bytes that claim to be many', () => {
  test.each([
    ['zeros', Buffer.alloc(4 * maxImageBytes)],
    ['the same over and over', Buffer.alloc(4 * maxImageBytes, 'no zeros ')],
  ])('are not unpacked without end: %s', async (_, content) => {
    const before = await storedFiles();
    const ann = await tenant({ storedBytes: BigInt(2 * maxImageBytes) });
    const packed = gzipSync(content, { level: 9 });
    const { image, task } = await ann.images.createImage({
      image: disk('bomb'),
      source: { case: 'upload', value: { decompress: true } },
    });
    const made = { imageId: image!.id, taskId: task!.id };
    const upload = ann.images.uploadImage(uploadFrames(packed, { taskId: made.taskId }));
    expect((await failureOf(upload)).reason).toMatch(/^(?:SIZE_EXCEEDED|COMPRESSION_INVALID)$/);
    await expectNothing(ann, made, /^(?:SIZE_EXCEEDED|COMPRESSION_INVALID)$/);
    await ann.images.deleteImage({ imageId: made.imageId });
    await expectNothingLeft(ann, before);
  });

  const folder = hasProgram('qemu-img', 'qemu-utils') ? new QemuFolder() : undefined;
  cleanUps.defer(() => Promise.resolve(folder?.remove()));

  test.runIf(folder !== undefined)(
    'are told with what they claim, so that whoever makes a disk of them can refuse',
    async () => {
      const ann = await tenant({ storedBytes: -1n });
      folder?.run('create', '-q', '-f', 'qcow2', 'huge.qcow2', '5T');
      const { imageId } = await activeImage(ann, folder!.read('huge.qcow2'), { diskFormat: 2 });
      const { image } = await ann.images.getImage({ imageId });
      expect(image?.virtualSizeBytes).toBe(5n * 1024n ** 4n);
      const { body } = await ann.rest('GET', `/v2/images/${imageId}`);
      expect(JSON.parse(body.toString())).toMatchObject({ virtual_size: 5 * 1024 ** 4 });
    },
  );

  test.runIf(folder !== undefined)(
    'are looked at in bounded time and memory, however large their tables claim to be',
    async () => {
      const ann = await tenant({ storedBytes: -1n });
      const qcow2 = folder!.create('qcow2', '');
      const vmdk = folder!.create('vmdk', '');
      const before = await peakMemory(cloud.service.process.pid);
      for (const [format, bytes] of [
        ['QCOW2', changed(qcow2, 'big', u32(36, 0xffff_ffff))],
        ['QCOW2', changed(qcow2, 'big', u64(24, 2n ** 62n))],
        ['QCOW2', changed(qcow2, 'big', u32(56, 0xffff_ffff))],
        ['QCOW2', changed(qcow2, 'big', u32(60, 0xffff_ffff))],
        ['QCOW2', changed(qcow2, 'big', u32(100, 0xffff_fff8))],
        ['QCOW2', changed(qcow2, 'big', u32(116, 0xffff_ffff))],
        ['VMDK', changed(vmdk, 'little', u64(12, 2n ** 43n))],
        ['VMDK', changed(vmdk, 'little', u32(44, 0xffff_ffff))],
        ['VMDK', changed(vmdk, 'little', u64(36, 2n ** 60n))],
      ] as const) {
        const { image, task } = await ann.images.createImage({
          image: disk('crafted', format),
          source: { case: 'upload', value: {} },
        });
        const made = { imageId: image!.id, taskId: task!.id };
        await failureOf(ann.images.uploadImage(uploadFrames(bytes, { taskId: made.taskId })));
        await expectNothing(ann, made, /^FORMAT_UNSAFE$/);
      }
      expect((await peakMemory(cloud.service.process.pid)) - before).toBeLessThan(128 * MiB);
    },
  );
});

/** OSSN-0057: images without bytes filled the database, and nothing counted them. */
describe('records without bytes', () => {
  test('are bounded for a project, though they are asked for at once, and others go on', async () => {
    const ann = await tenant({ images: 20n, liveTasks: 15n });
    const bob = await tenant({ images: 20n });
    const create = (who: Person) =>
      who.images.createImage({ image: disk('empty'), source: { case: 'upload', value: {} } });
    const outcomes = await Promise.allSettled(Array.from({ length: 300 }, () => create(ann)));
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(15);
    await create(bob);
    // A task that has ended makes room for one more, up to as many images as are allowed.
    const { tasks } = await ann.tasks.listTasks({ pageSize: 100 });
    await Promise.all(tasks.map(({ id }) => ann.tasks.cancelTask({ taskId: id })));
    const more = await Promise.allSettled(Array.from({ length: 300 }, () => create(ann)));
    expect(more.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
  });

  test('are bounded in what each may hold', async () => {
    const ann = await tenant({ images: 5n });
    const many = (count: number): Record<string, string> =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`key-${i}`, 'x']));
    for (const [field, image] of [
      ['tags', { ...disk('x'), tags: Array.from({ length: 129 }, (_, i) => `tag-${i}`) }],
      ['tags[0]', { ...disk('x'), tags: ['x'.repeat(256)] }],
      ['properties', { ...disk('x'), properties: many(129) }],
      ['properties', { ...disk('x'), properties: { key: 'x'.repeat(1025) } }],
      ['properties', { ...disk('x'), properties: { ['k'.repeat(256)]: 'x' } }],
      ['name', disk('x'.repeat(256))],
    ] satisfies [string, MessageInitShape<typeof ImageSchema>][]) {
      const create = ann.images.createImage({ image, source: { case: 'upload', value: {} } });
      const { reason, fields } = await failureOf(create);
      expect([field, reason, fields[0]?.includes(field)]).toEqual([field, 'FIELD_INVALID', true]);
    }
    expect((await ann.quotas.getQuota({})).quota?.usage?.images).toBe(0n);
  });
});

/** Members and properties are added by races in which each looks before any writes. */
describe('what is bounded stays so in a race', () => {
  test('members of an image', async () => {
    const raced = await startCloud({ DARKROOM_MAX_IMAGE_MEMBERS: '10' }, onTestFinished);
    const ann = await raced.person('garden', 'member');
    const { imageId } = await activeImage(ann, randomBytes(10), { visibility: 2 });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 60 }, (_, i) =>
        ann.images.addImageMember({ imageId, memberProjectId: `project-${i}` }),
      ),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
    const { members } = await ann.images.listImageMembers({ imageId, pageSize: 100 });
    expect(members).toHaveLength(10);
  });

  test('changes of one image: of those that know the same state, one is made', async () => {
    const ann = await tenant({ images: 5n });
    const { imageId } = await activeImage(ann, randomBytes(10));
    const { image } = await ann.images.getImage({ imageId });
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) =>
        ann.images.updateImage({
          image: { id: imageId, etag: image!.etag, properties: { [`key-${i}`]: 'x' } },
          updateMask: { paths: ['properties'] },
        }),
      ),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const { image: after } = await ann.images.getImage({ imageId });
    expect(Object.keys(after!.properties)).toHaveLength(1);
    expect(after?.state).toBe(Image_State.ACTIVE);
  });
});
