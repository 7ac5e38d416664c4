import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { makeUpload, sharedService } from '../server/rest/fixtures.ts';
import { expectBytes, imageState } from '../server/rest/put-fixtures.ts';
import { hasProgram } from '../support/disk-images.ts';
import { runProgram, type ProgramResult } from '../support/programs.ts';

const MiB = 1024 * 1024;
// Programs of Python that take seconds to start.
vi.setConfig({ testTimeout: 240_000 });

/** OpenStack's own command lines, as Debian has them, with the bytes of images. */
describe.skipIf(!hasProgram('glance', 'python3-glanceclient'))('glance', () => {
  const service = sharedService();
  const bytes = randomBytes(2 * MiB + 99);
  let home: string;
  let file: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'darkroom-glance-'));
    file = join(home, 'disk.raw');
    await writeFile(file, bytes);
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  function glance(...args: readonly string[]): Promise<ProgramResult> {
    const url = `--os-image-url=${service().process.url}`;
    const command = ['glance', url, '--os-auth-token=any', ...args];
    return runProgram('env', [`HOME=${home}`, 'PYTHONWARNINGS=ignore', ...command]);
  }

  test('image-upload sends an image, with its progress', async () => {
    const { imageId } = await makeUpload(service());
    const uploaded = await glance('image-upload', '--progress', '--file', file, imageId);
    expect(uploaded).toMatchObject({ code: 0, errors: '' });
    await expectBytes(service(), imageId, bytes);
    // Sent again it is there; another one is not taken for it.
    expect((await glance('image-upload', '--file', file, imageId)).code).toBe(0);
    const other = join(home, 'other.raw');
    await writeFile(other, randomBytes(1000));
    const refused = await glance('image-upload', '--file', other, imageId);
    expect(refused.code).toBe(1);
    expect(refused.errors).toContain('Make a new image for these.');
  });

  test('image-stage and image-import make an image', async () => {
    const { imageId } = await makeUpload(service());
    const early = await glance('image-import', '--import-method', 'glance-direct', imageId);
    expect(early.code).toBe(1);
    expect(await glance('image-stage', '--file', file, imageId)).toMatchObject({
      code: 0,
      errors: '',
    });
    const imported = await glance('image-import', '--import-method', 'glance-direct', imageId);
    expect(imported).toMatchObject({ code: 0, errors: '' });
    await expect
      .poll(async () => (await imageState(service(), imageId))?.state, { timeout: 60_000 })
      .toBe(Image_State.ACTIVE);
    const copy = join(home, 'copy.raw');
    expect(await glance('image-download', '--file', copy, imageId)).toMatchObject({ code: 0 });
    expect((await readFile(copy)).equals(bytes)).toBe(true);
  });

  test('import-info, stores-info and usage tell what there is', async () => {
    const info = await glance('import-info');
    expect(info.output).toContain('web-download');
    const stores = await glance('stores-info');
    expect(stores.output).toContain('[{"id": "file", "default": "true"}]');
    const usage = await glance('usage');
    expect(usage.output).toMatch(/\| image_size_total +\| -1 +\| \d+ +\|/);
  });
});
