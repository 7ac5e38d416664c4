import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_ContainerFormat, Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { withDescriptor } from '../formats/forgeries.ts';
import { ovf, packed, tarEnd, tarEntry } from '../formats/ova-packages.ts';
import { QemuFolder } from '../formats/qemu-images.ts';
import { startSource, type SourceServer } from '../imports/source-server.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasProgram } from '../support/disk-images.ts';
import { failureOf } from '../support/failures.ts';
import { downloadBytes, uploadFrames } from '../support/running-service.ts';
import {
  activeImage,
  disk,
  expectNothing,
  importFrom,
  startCloud,
  type Cloud,
  type Person,
} from './cloud.ts';

/**
 * OpenStack's services handed out files of their hosts, since an image may name other files, and what looks into images
 * follows such names: QCOW2 backing files (OSSA-2014-009, 2015-011, 2015-014, 2016-001, 2016-007), data files of QCOW2
 * (OSSA-2024-001), extents of VMDK (OSSA-2023-002), each once more under the name of RAW (OSSA-2024-002, OSSA-2024-003,
 * OSSA-2026-002), and paths in archives (OSSA-2011-001).
 */

const hasQemu = hasProgram('qemu-img', 'qemu-utils');
const MiB = 1024 * 1024;
const octets = { 'content-type': 'application/octet-stream' };

type Format = keyof typeof Image_DiskFormat;

/** Images that name a file of the host, by what is wrong with them, and what each may be said to be. */
type Traps = ReadonlyMap<string, Buffer>;

const cases: readonly (readonly [trap: string, formats: readonly Format[]])[] = [
  ['a qcow2 on a backing file', ['QCOW2', 'RAW']],
  ['a qcow2 on a backing file by a json: name', ['QCOW2', 'RAW']],
  ['a qcow2 on a backing file over the network', ['QCOW2', 'RAW']],
  ['a qcow2 of version 2 on a backing file', ['QCOW2', 'RAW']],
  ['a qcow2 with an external data file', ['QCOW2', 'RAW']],
  ['a qed on a backing file', ['QCOW2', 'RAW']],
  ['a flat vmdk', ['VMDK', 'RAW']],
  ['a sparse vmdk with an extent of the host', ['VMDK', 'RAW']],
  ['a vmdk on a parent', ['VMDK', 'RAW']],
];

describe.skipIf(!hasQemu)('an image that names a file of the host', () => {
  const cleanUps = new CleanUps();
  let cloud: Cloud;
  let ann: Person;
  let source: SourceServer;
  let secretFile: string;
  let secret: Buffer;
  let traps: Traps;
  let sound: Buffer;

  beforeAll(async () => {
    const folder = new QemuFolder();
    cleanUps.defer(() => Promise.resolve(folder.remove()));
    cloud = await startCloud({}, cleanUps.defer);
    ann = await cloud.person('garden', 'member');
    secretFile = join(folder.path, 'secret-of-the-host');
    // Of printable characters, so that it would be seen in a fault or a line of the log as well.
    secret = Buffer.from(`root:${randomBytes(30).toString('hex')}:0:0\n`.repeat(16));
    ({ traps, sound } = makeTraps(folder, secretFile));
    writeFileSync(secretFile, secret);
    truncateSync(secretFile, MiB);
    source = await startSource(
      (request, response) => {
        const bytes = traps.get(decodeURIComponent(request.url?.slice(1) ?? ''))!;
        response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
      },
      { defer: cleanUps.defer },
    );
    return cleanUps.run;
  });

  /** Each way by which bytes become an image; answers what was made of them, or what refused to. */
  const roads = {
    async UploadImage(format: Format, bytes: Buffer) {
      const made = await create(format, {});
      await failureOf(ann.images.uploadImage(uploadFrames(bytes, { taskId: made.taskId })));
      return made;
    },
    async UploadChunk(format: Format, bytes: Buffer) {
      const made = await create(format, {});
      await failureOf(
        ann.images.uploadChunk({
          taskId: made.taskId,
          offset: 0n,
          data: bytes,
          finish: { totalSize: BigInt(bytes.length) },
        }),
      );
      return made;
    },
    async 'a packed upload'(format: Format, bytes: Buffer) {
      const made = await create(format, { decompress: true });
      await failureOf(
        ann.images.uploadImage(uploadFrames(gzipSync(bytes), { taskId: made.taskId })),
      );
      return made;
    },
    async 'PUT file'(format: Format, bytes: Buffer) {
      const made = await create(format, {});
      const { status } = await ann.rest('PUT', `/v2/images/${made.imageId}/file`, {
        headers: octets,
        body: bytes,
      });
      expect(status).toBe(415);
      return made;
    },
    async 'PUT stage and an import'(format: Format, bytes: Buffer) {
      const made = await create(format, {});
      await ann.rest('PUT', `/v2/images/${made.imageId}/stage`, { headers: octets, body: bytes });
      await askForImport(made.imageId, { name: 'glance-direct' });
      return made;
    },
    async 'a web-download'(format: Format, _: Buffer, trap: string) {
      const { imageId } = await create(format, {});
      const uri = `${source.origin}/${encodeURIComponent(trap)}`;
      const { headers } = await askForImport(imageId, { name: 'web-download', uri });
      return { imageId, taskId: headers.get('location')!.split('/').at(-1)! };
    },
    import: (format: Format, _: Buffer, trap: string) =>
      importFrom(ann, `${source.origin}/${encodeURIComponent(trap)}`, { format }),
  } as const;

  const askForImport = (imageId: string, method: object) =>
    ann.rest('POST', `/v2/images/${imageId}/import`, {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ method }),
    });

  async function create(format: Format, value: object) {
    const { image, task } = await ann.images.createImage({
      image: disk('a trap', format),
      source: { case: 'upload', value },
    });
    return { imageId: image!.id, taskId: task!.id };
  }

  const walked = cases.flatMap(([trap, formats]) =>
    formats.flatMap((format) =>
      (Object.keys(roads) as (keyof typeof roads)[]).map((road) => [trap, format, road] as const),
    ),
  );

  test.each(walked)(
    '%s, said to be %s, does not become an image by %s',
    async (trap, format, road) => {
      const made = await roads[road](format, traps.get(trap)!, trap);
      await expectNothing(ann, made, /^FORMAT_(?:UNSAFE|MISMATCH)$/);
      const told = await ann.rest('GET', `/v2/tasks/${made.taskId}`);
      expect(told.body.includes(secret.subarray(0, 40))).toBe(false);
    },
  );

  test('is handed out as it came where wrong images are taken, and nothing follows the name', async () => {
    const lenient = await startCloud({ DARKROOM_FORMAT_CHECK: 'record' }, cleanUps.defer);
    const bob = await lenient.person('garden', 'member');
    for (const [trap, bytes] of traps) {
      for (const format of ['QCOW2', 'VMDK', 'RAW'] as const) {
        const { imageId } = await activeImage(bob, bytes, {
          diskFormat: Image_DiskFormat[format],
        });
        const { image } = await bob.images.getImage({ imageId });
        expect([trap, format, Number(image?.sizeBytes)]).toEqual([trap, format, bytes.length]);
        expect((await downloadBytes(bob.images, imageId)).bytes.equals(bytes)).toBe(true);
        const { body } = await bob.rest('GET', `/v2/images/${imageId}/file`);
        expect(body.equals(bytes)).toBe(true);
        // A copy of it is the same bytes again.
        const copy = await bob.images.createImage({
          image: disk('copy', format),
          source: { case: 'copyFrom', value: { from: { case: 'imageId', value: imageId } } },
        });
        for await (const _ of bob.tasks.watchTask({ taskId: copy.task!.id })) {
          // To its end.
        }
        const copied = await downloadBytes(bob.images, copy.image!.id);
        expect(copied.bytes.equals(bytes)).toBe(true);
      }
    }
    expect(lenient.service.process.output()).not.toContain(secret.toString().slice(0, 40));
  });

  test('leaves the file as it was, and untold in the log', () => {
    expect(readFileSync(secretFile).subarray(0, secret.length).equals(secret)).toBe(true);
    expect(statSync(secretFile).size).toBe(MiB);
    expect(cloud.service.process.output()).not.toContain(secret.toString().slice(0, 40));
  });

  describe('or of a path in a package', () => {
    const packages: readonly (readonly [string, () => Buffer])[] = [
      ['a file above it', () => archive(tarEntry('../../../../tmp/darkroom-was-here', 'x'))],
      ['an absolute path', () => archive(tarEntry(`${secretFile}.new`, 'x'))],
      ['a link', () => archive(tarEntry('disk.vmdk', '', { type: '2', linkName: secretFile }))],
      [
        'a hard link',
        () => archive(tarEntry('disk.vmdk', '', { type: '1', linkName: secretFile })),
      ],
      [
        'a disk of the host in its descriptor',
        () =>
          packed([
            ['vm.ovf', ovfWith(secretFile)],
            ['disk.vmdk', sound],
          ]),
      ],
      [
        'a disk by an address in its descriptor',
        () =>
          packed([
            ['vm.ovf', ovfWith(`${source.origin}/vm.vmdk`)],
            ['disk.vmdk', sound],
          ]),
      ],
      [
        'an entity of the host in its descriptor',
        () =>
          packed([
            [
              'vm.ovf',
              ovfWith('disk.vmdk', `<!DOCTYPE x [<!ENTITY e SYSTEM "file://${secretFile}">]>\n`),
            ],
            ['disk.vmdk', sound],
          ]),
      ],
    ];

    test.each(packages)('is refused, writes nothing and asks nobody: %s', async (_, make) => {
      const asked = source.requests.length;
      const { image, task } = await ann.images.createImage({
        image: { ...disk('package', 'VMDK'), containerFormat: Image_ContainerFormat.OVA },
        source: { case: 'upload', value: {} },
      });
      const made = { imageId: image!.id, taskId: task!.id };
      await failureOf(ann.images.uploadImage(uploadFrames(make(), { taskId: made.taskId })));
      await expectNothing(ann, made, /^FORMAT_(?:UNSAFE|MISMATCH)$/);
      expect(source.requests).toHaveLength(asked);
      await expect(stat(`${secretFile}.new`)).rejects.toThrow(/ENOENT/);
      await expect(stat('/tmp/darkroom-was-here')).rejects.toThrow(/ENOENT/);
    });

    function archive(entry: Buffer): Buffer {
      return Buffer.concat([tarEntry('vm.ovf', ovfWith('disk.vmdk')), entry, tarEnd]);
    }

    function ovfWith(href: string, prolog = ''): string {
      return ovf({
        files: [{ id: 'file1', href }],
        disks: [{ diskId: 'vmdisk1', fileRef: 'file1' }],
        prolog,
      });
    }
  });
});

/** OSSA-2014-001 (CVE-2013-7048): snapshots under way lay where every user of the host could read and change them. */
test('what is stored, whole or under way, is nothing that other users of the machine can read or change', async () => {
  const cleanUps = new CleanUps();
  try {
    const { service, ...cloud } = await startCloud({}, cleanUps.defer);
    const ann = await cloud.person('garden', 'member');
    await activeImage(ann, Buffer.from('whole'));
    const { task } = await ann.images.createImage({
      image: disk('half'),
      source: { case: 'upload', value: {} },
    });
    const { complete } = await ann.images.uploadImage(
      uploadFrames(Buffer.alloc(100_000, 'half'), { taskId: task!.id, until: 50_000 }),
    );
    expect(complete).toBe(false);
    const entries = await readdir(service.dataDir, { recursive: true });
    expect(entries.length).toBeGreaterThan(256);
    const open: string[] = [];
    for (const entry of entries) {
      const { mode } = await stat(join(service.dataDir, entry));
      if ((mode & 0o007) !== 0) {
        open.push(`${entry} ${(mode & 0o777).toString(8)}`);
      }
    }
    expect(open).toEqual([]);
  } finally {
    await cleanUps.run();
  }
});

/** The images, and a sound VMDK. */
function makeTraps(folder: QemuFolder, secretFile: string): { traps: Traps; sound: Buffer } {
  const at = (name: string): string => join(folder.path, name);
  const read = (name: string): Buffer => readFileSync(at(name));
  // QEMU wants to see the files that it is to name.
  writeFileSync(secretFile, Buffer.alloc(MiB));
  const backed = (name: string, backing: string, ...more: string[]): Buffer => {
    folder.run('create', '-q', '-u', '-f', ...more, '-b', backing, '-F', 'raw', name, '1M');
    return read(name);
  };
  const json = JSON.stringify({ driver: 'raw', file: { driver: 'file', filename: secretFile } });
  folder.run(
    'create',
    '-q',
    '-f',
    'qcow2',
    '-o',
    `data_file=${secretFile},data_file_raw=on`,
    'external',
    '1M',
  );
  folder.run('create', '-q', '-f', 'vmdk', 'sound.vmdk', '1M');
  const sound = read('sound.vmdk');
  const flat = `# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="monolithicFlat"

# Extent description
RW 2048 FLAT "${secretFile}" 0

# The Disk Data Base
#DDB
ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "2"
ddb.geometry.heads = "16"
ddb.geometry.sectors = "63"
ddb.adapterType = "ide"
`;
  const traps = new Map([
    ['a qcow2 on a backing file', backed('backed', secretFile, 'qcow2')],
    ['a qcow2 on a backing file by a json: name', backed('json', `json:${json}`, 'qcow2')],
    [
      'a qcow2 on a backing file over the network',
      backed('network', 'nbd://127.0.0.1:10809/x', 'qcow2'),
    ],
    [
      'a qcow2 of version 2 on a backing file',
      backed('old', secretFile, 'qcow2', '-o', 'compat=0.10'),
    ],
    ['a qcow2 with an external data file', read('external')],
    ['a qed on a backing file', backed('qed', secretFile, 'qed')],
    ['a flat vmdk', Buffer.from(flat)],
    [
      'a sparse vmdk with an extent of the host',
      withDescriptor(sound, (text) => text.replace(/^RW .*$/m, `RW 2048 SPARSE "${secretFile}"`)),
    ],
    [
      'a vmdk on a parent',
      withDescriptor(sound, (text) =>
        text.replace('ffffffff', '12345678').concat(`parentFileNameHint="${secretFile}"\n`),
      ),
    ],
  ]);
  return { traps, sound };
}
