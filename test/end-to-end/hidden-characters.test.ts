import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { firstHidden } from '../../src/domain/hidden-characters.ts';
import { deceivingTexts, legalTexts } from '../domain/hidden-texts.ts';
import { importEnv } from '../imports/import-world.ts';
import { startSource } from '../imports/source-server.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { failureOf } from '../support/failures.ts';
import { rawPost } from '../support/raw-http.ts';
import { startService, type RunningService } from '../support/running-service.ts';

const cleanUps = new CleanUps();
let service: RunningService;

beforeAll(async () => {
  service = await startService(importEnv, cleanUps.defer);
  return cleanUps.run;
});

const image = { name: 'image', diskFormat: Image_DiskFormat.RAW };
const upload = { case: 'upload', value: {} } as const;

async function newTask(): Promise<{ imageId: string; taskId: string }> {
  const made = await service.images.createImage({ image, source: upload });
  return { imageId: made.image!.id, taskId: made.task!.id };
}

/** Each field in which a caller writes text that people read, and a call that sends it. */
const fields: readonly (readonly [string, (text: string) => Promise<unknown>])[] = [
  [
    'image.name',
    (name) => service.images.createImage({ image: { ...image, name }, source: upload }),
  ],
  [
    'image.tags[0]',
    (tag) => service.images.createImage({ image: { ...image, tags: [tag] }, source: upload }),
  ],
  [
    'image.properties[',
    (key) =>
      service.images.createImage({
        image: { ...image, properties: { [key]: '' } },
        source: upload,
      }),
  ],
  [
    'image.properties["key"]',
    (value) =>
      service.images.createImage({
        image: { ...image, properties: { key: value } },
        source: upload,
      }),
  ],
  [
    'snapshot.labels["instance"]',
    (value) =>
      service.images.createImage({
        image,
        source: { case: 'snapshot', value: { labels: { instance: value } } },
      }),
  ],
  [
    'image.name',
    async (name) => {
      const { imageId } = await newTask();
      return service.images.updateImage({
        image: { id: imageId, name },
        updateMask: { paths: ['name'] },
      });
    },
  ],
  ['message', async (message) => service.tasks.reportProgress({ ...(await newTask()), message })],
  [
    'message',
    async (message) =>
      service.tasks.reportFault({ ...(await newTask()), code: 13, reason: 'DISK_LOST', message }),
  ],
  [
    'detail',
    async (detail) =>
      service.tasks.reportFault({
        ...(await newTask()),
        code: 13,
        reason: 'DISK_LOST',
        message: 'lost',
        detail,
      }),
  ],
  ['reason', async (reason) => service.tasks.cancelTask({ ...(await newTask()), reason })],
];

describe.each(fields)('a text in %s', (field, send) => {
  test('is refused if something in it is hidden, and the refusal shows it', async () => {
    for (const [, text] of deceivingTexts) {
      const failure = await failureOf(send(text));
      expect(failure.reason).toBe('FIELD_INVALID');
      expect(failure.fields[0]).toContain(field);
      expect(firstHidden(JSON.stringify(failure))).toBeUndefined();
    }
  });

  test('is taken in any script', async () => {
    for (const text of legalTexts.filter((text) => !/[\t\r\n]/.test(text))) {
      await expect(send(text)).resolves.toBeDefined();
    }
  });
});

test('what is legal comes back as it was written, over gRPC and REST', async () => {
  const name = legalTexts.filter((text) => !/[\t\r\n]/.test(text)).join(' ');
  const made = await service.images.createImage({
    image: { ...image, name, tags: [name], properties: { key: name } },
    source: upload,
  });
  expect(made.image).toMatchObject({ name, tags: [name], properties: { key: name } });
  const view = await fetch(`${service.process.url}/v2/images/${made.image!.id}`);
  expect(await view.json()).toMatchObject({ name, tags: [name], key: name });
});

describe('a source that answers with what is hidden', () => {
  const body = `{"error": "no such\u202e\u2066 image\u200b"}`;

  test('is quoted with it escaped: in the fault, the event, the REST view and the log', async () => {
    const source = await startSource(
      (_, response) => {
        response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(body);
      },
      { defer: cleanUps.defer },
    );
    const { task } = await service.images.createImage({
      image,
      source: { case: 'copyFrom', value: { from: { case: 'url', value: source.origin } } },
    });
    const told: unknown[] = [];
    for await (const message of service.tasks.watchTask({ taskId: task!.id })) {
      told.push(message);
    }
    const { task: failed } = await service.tasks.getTask({ taskId: task!.id });
    expect(failed?.lastFault).toMatchObject({ reason: 'FORMAT_MISMATCH' });
    expect(failed?.lastFault?.message).toContain('\\u202e\\u2066 image\\u200b');
    const view = await (await fetch(`${service.process.url}/v2/tasks/${task!.id}`)).text();
    expect(view).toContain('FORMAT_MISMATCH');
    for (const text of [view, ...told.map((message) => String(message))]) {
      expect(firstHidden(text)).toBeUndefined();
    }
  });
});

test('the log shows what is hidden in what it tells of a call', async () => {
  // Bytes of a path are taken for characters each: this one would clear the screen.
  await rawPost(service.process.url, '/hidden\u009b2J', 'application/json', Buffer.from('{}'));
  const line = (): string | undefined =>
    /^.*\/hidden.*$/m.exec(service.process.output())?.[0].slice(0, 1000);
  await expect.poll(line).toContain('/hidden\\u009b2J');
  expect(firstHidden(service.process.output())).toBeUndefined();
});
