import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import {
  Image_ContainerFormat,
  Image_DiskFormat,
  Image_Visibility,
} from '../../../gen/darkroom/v1/image_pb.ts';
import { hasProgram } from '../../support/disk-images.ts';
import { runProgram, type ProgramResult } from '../../support/programs.ts';
import { uploadFrames } from '../../support/running-service.ts';
import { bytesWithHoles, storeImage, type StoredImage } from './file-fixtures.ts';
import { makeUpload, sharedService } from './fixtures.ts';

const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
const service = sharedService();
let stored: StoredImage;
beforeAll(async () => {
  stored = await storeImage(service(), bytesWithHoles());
});

function get(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(service().process.url + path, init);
}

async function read(path: string): Promise<Record<string, unknown>> {
  const response = await get(path);
  expect([path, response.status]).toEqual([path, 200]);
  return (await response.json()) as Record<string, unknown>;
}

describe('an image', () => {
  test('has Glance’s fields and words, before it has its bytes and after', async () => {
    const { image, task } = await service().images.createImage({
      image: {
        name: 'web-1',
        diskFormat: Image_DiskFormat.RAW,
        containerFormat: Image_ContainerFormat.BARE,
        minDiskBytes: 5n * 1024n ** 3n + 1n,
        minRamBytes: 512n * 1024n ** 2n,
        visibility: Image_Visibility.PRIVATE,
        tags: ['blue', 'green'],
        properties: { os_distro: 'debian', hw_disk_bus: 'virtio' },
      },
      source: { case: 'upload', value: {} },
    });
    const path = `/v2/images/${image!.id}`;
    const queued = {
      id: image!.id,
      name: 'web-1',
      status: 'queued',
      disk_format: 'raw',
      container_format: 'bare',
      size: null,
      virtual_size: null,
      checksum: null,
      os_hash_algo: null,
      os_hash_value: null,
      os_hidden: false,
      os_darkroom_outlook: 'expected',
      os_darkroom_task: `/v2/tasks/${task!.id}`,
      min_disk: 6,
      min_ram: 512,
      visibility: 'private',
      protected: false,
      owner: 'default',
      tags: ['blue', 'green'],
      os_distro: 'debian',
      hw_disk_bus: 'virtio',
      created_at: time,
      updated_at: time,
      self: path,
      file: `${path}/file`,
      schema: '/v2/schemas/image',
    };
    expect(await read(path)).toEqual(queued);
    const before = await get(path);
    await service().images.uploadImage(
      uploadFrames(Buffer.from('twelve bytes'), { taskId: task!.id }),
    );
    const etag = before.headers.get('etag')!;
    expect((await get(path, { headers: { 'if-none-match': etag } })).status).toBe(200);
    expect(await read(path)).toEqual({
      ...queued,
      status: 'active',
      stores: 'file',
      os_darkroom_outlook: 'available',
      size: 12,
      virtual_size: expect.toBeOneOf([null, 12]),
      os_hash_algo: 'sha256',
      os_hash_value: 'd4ce2c527afe674c7a086bd74e256019e3d5dcdb31eeb6eaadef5ada8c4383b9',
    });
    const after = (await get(path)).headers.get('etag')!;
    expect((await get(path, { headers: { 'if-none-match': after } })).status).toBe(304);
    await service().images.deleteImage({ imageId: image!.id });
    expect((await get(path)).status).toBe(404);
  });

  test('is told by its own fields, whatever its properties are called', async () => {
    const { image } = await service().images.createImage({
      image: {
        name: 'web-1',
        diskFormat: Image_DiskFormat.RAW,
        properties: {
          id: 'x',
          status: 'active',
          checksum: 'x',
          owner: 'x',
          file: 'x',
          locations: 'x',
          ['__proto__']: 'x',
        },
      },
      source: { case: 'upload', value: {} },
    });
    const view = await read(`/v2/images/${image!.id}`);
    expect(view).toMatchObject({
      id: image!.id,
      status: 'queued',
      checksum: null,
      owner: 'default',
      file: `/v2/images/${image!.id}/file`,
    });
    expect(view['locations']).toBeUndefined();
  });

  test('has a schema that names all of its fields', async () => {
    const { name, properties } = await read('/v2/schemas/image');
    expect(name).toBe('image');
    // `glance` makes an option of each, and has one of that name already.
    const { stores, ...view } = await read(`/v2/images/${stored.id}`);
    expect(stores).toBe('file');
    expect(properties).not.toHaveProperty('stores');
    const fields = Object.keys(view);
    expect(Object.keys(properties as object)).toEqual(expect.arrayContaining(fields));
  });

  test('that is not there is told so', async () => {
    expect((await get(`/v2/images/${randomUUID()}`)).status).toBe(404);
    expect((await get('/v2/images/nonsense')).status).toBe(404);
  });
});

/** OpenStack's own command line, as Debian has it. */
describe.skipIf(!hasProgram('glance', 'python3-glanceclient'))('the glance client', () => {
  async function newFolder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'darkroom-glance-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    return folder;
  }

  /** Where it keeps schemas, from one command to the next. */
  let home: string;
  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'darkroom-glance-'));
    return () => rm(home, { recursive: true, force: true });
  });

  function glance(...args: readonly string[]): Promise<ProgramResult> {
    const url = `--os-image-url=${service().process.url}`;
    const command = ['glance', url, '--os-auth-token=any', ...args];
    return runProgram('env', [`HOME=${home}`, 'PYTHONWARNINGS=ignore', ...command]);
  }

  test('image-show shows an image', async () => {
    const { code, output, errors } = await glance('image-show', stored.id);
    expect({ code, errors }).toEqual({ code: 0, errors: '' });
    const rows = output.split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
    const shown = Object.fromEntries(rows.map(([, name, value]) => [name, value]));
    expect(shown).toMatchObject({
      id: stored.id,
      name: 'disk',
      status: 'active',
      disk_format: 'raw',
      size: String(stored.bytes.length),
      os_hash_algo: 'sha256',
      os_hash_value: stored.sha256,
      owner: 'default',
      protected: 'False',
      visibility: 'private',
    });
  });

  test('understands the schema that it keeps', async () => {
    for (const round of ['first', 'second']) {
      const { code, output, errors } = await glance('help', 'image-create');
      expect({ round, code, errors }).toEqual({ round, code: 0, errors: '' });
      expect(output).toContain('--disk-format <DISK_FORMAT>');
    }
    const explained = await glance('explain', 'image');
    expect(explained.errors).toBe('');
    expect(explained.output).toContain('os_hash_value');
  });

  test('image-download brings an image, and checks it', async () => {
    const file = join(await newFolder(), 'image');
    const result = await glance('image-download', '--file', file, stored.id);
    expect(result).toEqual({ code: 0, output: '', errors: '' });
    expect((await readFile(file)).equals(stored.bytes)).toBe(true);
  });

  test('image-download says why there is nothing', async () => {
    const { imageId } = await makeUpload(service());
    const file = join(await newFolder(), 'image');
    const { code, errors } = await glance('image-download', '--file', file, imageId);
    expect(code).toBe(1);
    expect(errors).toContain(`Image ${imageId} has no data.`);
  });

  test('the Python library reads the same', async () => {
    const program = `
import hashlib, json, sys
from glanceclient import Client
client = Client('2', sys.argv[1], token='any')
image = client.images.get(sys.argv[2])
sha256 = hashlib.sha256(b''.join(client.images.data(image.id))).hexdigest()
print(json.dumps([image.status, image.size, image.tags, sha256]))`;
    const args = ['-W', 'ignore', '-c', program, service().process.url, stored.id];
    const { output, errors } = await runProgram('/usr/bin/python3', args);
    expect(errors).toBe('');
    expect(JSON.parse(output)).toEqual(['active', stored.bytes.length, [], stored.sha256]);
  });
});
