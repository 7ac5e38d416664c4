import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { Task_State, type Task } from '../../gen/darkroom/v1/task_pb.ts';
import { importEnv } from '../imports/import-world.ts';
import { selfSigned } from '../imports/self-signed.ts';
import { serves, startSource } from '../imports/source-server.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { startService, type RunningService } from '../support/running-service.ts';
import { makeDataDir } from '../support/service-process.ts';

const bytes = randomBytes(2_000_000);
const cleanUps = new CleanUps();
let service: RunningService;

beforeAll(async () => {
  const folder = await makeDataDir();
  cleanUps.defer(() => folder.remove());
  const authority = `${folder.path}/authority.pem`;
  await writeFile(authority, selfSigned.cert);
  service = await startService(
    {
      ...importEnv,
      DARKROOM_IMPORT_SPECIAL_ADDRESSES: '127.0.0.0/8,::1',
      NODE_EXTRA_CA_CERTS: authority,
    },
    cleanUps.defer,
  );
  return cleanUps.run;
});

async function importFrom(url: string): Promise<Task> {
  const { task } = await service.images.createImage({
    image: { name: 'over TLS', diskFormat: Image_DiskFormat.RAW },
    source: { case: 'copyFrom', value: { from: { case: 'url', value: url } } },
  });
  const taskId = task!.id;
  for await (const _ of service.tasks.watchTask({ taskId })) {
    // To its end.
  }
  return (await service.tasks.getTask({ taskId })).task!;
}

test.each(['127.0.0.1', 'localhost'])(
  'an image comes from https://%s if its certificate is vouched for',
  async (host) => {
    const source = await startSource(serves(bytes), { secure: true, host });
    const task = await importFrom(`${source.origin}/image`);
    expect(task.lastFault?.message).toBeUndefined();
    expect(task.state).toBe(Task_State.SUCCEEDED);
    const { image } = await service.images.getImage({ imageId: task.imageId });
    expect(image?.sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
    expect(source.requests[0]?.headers.host).toBe(`${host}:${source.port}`);
  },
);

test('a certificate for another name is refused', async () => {
  const source = await startSource(serves(bytes), { secure: true, host: '127.0.0.2' });
  const task = await importFrom(`${source.origin}/image`);
  expect(task.lastFault).toMatchObject({ reason: 'SOURCE_TLS_FAILED', fatal: true });
  expect(task.lastFault?.message).toContain('ERR_TLS_CERT_ALTNAME_INVALID');
  expect(source.requests).toEqual([]);
});
