import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { Image_DiskFormat } from '../../../gen/darkroom/v1/image_pb.ts';
import type { Role } from '../../../src/access/caller.ts';
import { createToken } from '../../../src/identity/static-tokens/token-store.ts';
import { CleanUps } from '../../support/clean-ups.ts';
import { failureOf } from '../../support/failures.ts';
import { patience } from '../../support/held-upload.ts';
import {
  connectTo,
  startService,
  uploadFrames,
  type RunningService,
} from '../../support/running-service.ts';
import { failureToStart, makeDataDir, type ServiceProcess } from '../../support/service-process.ts';

const cleanUps = new CleanUps();
let auditFile: string;
let running: RunningService;
let service: ServiceProcess;
const tokens = new Map<Role, string>();

beforeAll(async () => {
  const folder = await makeDataDir();
  cleanUps.defer(folder.remove);
  auditFile = join(folder.path, 'audit.jsonl');
  const tokensFile = join(folder.path, 'tokens.json');
  for (const role of ['reader', 'member'] as const) {
    const made = createToken(tokensFile, {
      user: `a ${role}`,
      project: 'garden',
      roles: [role],
      description: undefined,
      lifetimeMs: undefined,
    });
    tokens.set(role, made.token);
  }
  running = await startService(
    {
      DARKROOM_TOKENS_FILE: tokensFile,
      DARKROOM_AUDIT_FILE: auditFile,
      DARKROOM_PROCESSES: '2',
      DARKROOM_IMPORT_MAX_TRIES: '1',
    },
    cleanUps.defer,
  );
  service = running.process;
  return cleanUps.run;
}, 120_000);

type Line = Readonly<Record<string, unknown>>;

async function written(): Promise<Line[]> {
  const text = await readFile(auditFile, 'utf8');
  return text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Line);
}

/** Clients of a role, whose calls are told from others by their request id. */
function as(role: Role, requestId: string) {
  const authorization = `Bearer ${tokens.get(role)!}`;
  return connectTo(service.url, { authorization, 'x-request-id': requestId });
}

async function linesOf(requestId: string): Promise<Line[]> {
  return (await written()).filter((line) => line['request_id'] === requestId);
}

const newImage = {
  image: { name: 'disk', diskFormat: Image_DiskFormat.RAW },
  source: { case: 'upload', value: {} },
} as const;

test('who changed what is written before the caller is answered', async () => {
  const { images, tasks } = as('member', 'changes');
  const { image, task } = await images.createImage(newImage);
  const by = { project: 'garden', user: 'a member', role: 'member', code: 'OK' };
  const about = { image_id: image!.id, task_id: task!.id };
  // No waiting: it is there.
  expect(await linesOf('changes')).toMatchObject([
    {
      ...by,
      ...about,
      call: 'darkroom.v1.ImageService/CreateImage',
      peer: expect.any(String) as string,
    },
  ]);
  await images.uploadImage(uploadFrames(Buffer.from('twelve bytes'), { taskId: task!.id }));
  await images.updateImage({
    image: {
      id: image!.id,
      name: 'other',
      etag: (await images.getImage({ imageId: image!.id })).image!.etag,
    },
    updateMask: { paths: ['name'] },
  });
  await images.deleteImage({ imageId: image!.id });
  await failureOf(tasks.cancelTask({ taskId: task!.id }));
  await expect
    .poll(
      async () =>
        (await linesOf('changes')).map(({ call, code, image_id, task_id }) => [
          call,
          code,
          image_id,
          task_id,
        ]),
      patience,
    )
    .toEqual([
      ['darkroom.v1.ImageService/CreateImage', 'OK', image!.id, task!.id],
      ['darkroom.v1.ImageService/UploadImage', 'OK', image!.id, task!.id],
      ['darkroom.v1.ImageService/UpdateImage', 'OK', image!.id, undefined],
      ['darkroom.v1.ImageService/DeleteImage', 'OK', image!.id, undefined],
      [
        'darkroom.v1.TaskService/CancelTask',
        expect.stringMatching(/^[A-Z_]+$/),
        undefined,
        task!.id,
      ],
    ]);
});

test('every refusal is written, of reads too, and what is only read is not', async () => {
  const reader = as('reader', 'reads');
  await reader.images.listImages({});
  await failureOf(reader.images.getImage({ imageId: '01a21999-0000-7000-8000-000000000000' }));
  const refused = await failureOf(reader.images.createImage(newImage));
  expect(refused.reason).toBe('ROLE_INSUFFICIENT');
  await expect
    .poll(async () => linesOf('reads'), patience)
    .toMatchObject([{ user: 'a reader', code: 'PERMISSION_DENIED', reason: 'ROLE_INSUFFICIENT' }]);

  const stranger = connectTo(service.url, { 'x-request-id': 'stranger' });
  expect((await failureOf(stranger.images.listImages({}))).reason).toBe('CREDENTIAL_MISSING');
  const answer = await fetch(`${service.url}/v2/tasks?marker=secret-in-a-query`, {
    headers: { 'x-request-id': 'stranger', authorization: 'Bearer secret-that-is-no-token' },
  });
  expect(answer.status).toBe(401);
  const page = await fetch(`${service.url}/v2/tasks`, {
    headers: { 'x-request-id': 'stranger', origin: 'https://elsewhere.example' },
  });
  expect(page.status).toBe(403);
  await expect.poll(async () => (await linesOf('stranger')).length, patience).toBe(3);
  const lines = await linesOf('stranger');
  expect(lines.map(({ reason }) => reason)).toEqual([
    'CREDENTIAL_MISSING',
    'CREDENTIAL_INVALID',
    'ORIGIN_NOT_ALLOWED',
  ]);
  expect(lines.every((line) => !('user' in line))).toBe(true);
});

test('nothing secret is in it, nor in the log', async () => {
  const { images } = as('member', 'secrets');
  await images
    .createImage({
      image: { name: 'secretive', diskFormat: Image_DiskFormat.RAW },
      source: {
        case: 'copyFrom',
        value: {
          from: { case: 'url', value: 'http://192.0.2.1/disk?signature=secret-in-a-query' },
          headers: { authorization: 'secret-in-a-header' },
        },
      },
    })
    .catch(() => {});
  await expect.poll(async () => (await linesOf('secrets')).length, patience).toBe(1);
  const texts = [await readFile(auditFile, 'utf8'), service.output()];
  for (const text of texts) {
    expect(text).not.toContain('secret-');
    for (const token of tokens.values()) {
      expect(text).not.toContain(token);
    }
  }
});

test('refusals of strangers do not fill the disk: how many more there were is written', async () => {
  const before = (await written()).length;
  const calls = 4000;
  for (let done = 0; done < calls; done += 100) {
    await Promise.all(
      Array.from({ length: 100 }, async () => (await fetch(`${service.url}/v2/tasks`)).text()),
    );
  }
  const { images } = as('member', 'afterwards');
  for (let n = 0; n < 20; n += 1) {
    await images.createImage(newImage);
  }
  const since = (await written()).slice(before);
  const recorded = since.filter(({ reason }) => reason === 'CREDENTIAL_MISSING').length;
  expect(recorded).toBeLessThan(calls - 100);
  expect(since.some((line) => Number(line['refusals_not_recorded']) > 0)).toBe(true);
});

test.each(['1', '2'])(
  'a start with a path that cannot be written is refused, of %s processes',
  async (processes) => {
    await using dataDir = await makeDataDir();
    const env = { DARKROOM_AUDIT_FILE: '/proc/nowhere/audit', DARKROOM_PROCESSES: processes };
    const { databaseUrl } = running;
    const { exit, output } = await failureToStart({ dataDir: dataDir.path, databaseUrl, env });
    expect(exit).toBe(2);
    expect(output).toContain('set DARKROOM_AUDIT_FILE to another path');
  },
);
