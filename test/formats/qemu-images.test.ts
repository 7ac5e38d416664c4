import { afterAll, describe, expect, test } from 'vitest';
import type { DiskFormat } from '../../src/records/image.ts';
import { hasProgram } from '../support/disk-images.ts';
import { bootSectorDisk, minimalIso } from './forgeries.ts';
import { as, inspectGrowing, inspectWhole } from './inspections.ts';
import { QemuFolder } from './qemu-images.ts';

const hasQemu = hasProgram('qemu-img', 'qemu-utils');
const folder = new QemuFolder();
afterAll(() => folder.remove());
const images = hasQemu ? await folder.makeAll() : [];

const diskFormats: readonly DiskFormat[] = [
  'RAW',
  'QCOW2',
  'VMDK',
  'VDI',
  'VHD',
  'VHDX',
  'ISO',
  'PLOOP',
  'AMI',
];

describe.runIf(hasQemu)('an image by qemu-img', () => {
  test.for(images)('$name is sound and of the size qemu-img tells', async (image) => {
    const inspection = await inspectWhole(as(image.diskFormat), image.bytes);

    expect(inspection).toMatchObject({ kind: 'sound' });
    expect(image.hasBackingFile).toBe(false);
    if (inspection.kind === 'sound' && image.diskFormat === 'RAW') {
      // qemu-img counts whole sectors.
      expect(inspection.virtualSize).toBe(image.bytes.length);
      expect(Math.ceil(image.bytes.length / 512) * 512).toBe(image.virtualSize);
    } else {
      expect(inspection).toEqual({ kind: 'sound', virtualSize: image.virtualSize });
    }
    const growing = await inspectGrowing(as(image.diskFormat), image.bytes);
    expect(growing.inspection).toEqual(inspection);
  });

  test.for(images.filter(({ diskFormat }) => diskFormat !== 'RAW'))(
    '$name declared as anything else is refused by its name',
    async ({ name, diskFormat, bytes, found }) => {
      for (const other of diskFormats.filter((other) => other !== diskFormat)) {
        const inspection = await inspectWhole(as(other), bytes);
        expect(inspection).toMatchObject({ kind: 'refused', reason: 'FORMAT_MISMATCH' });

        // A fixed VHD shows itself at its end only, for which refusals do not wait.
        const isLate = name.startsWith('vhd fixed') && other !== 'RAW' && other !== 'AMI';
        expect(inspection).toMatchObject({ found: isLate ? 'nothing known' : found });
        expect((await inspectGrowing(as(other), bytes)).inspection).toEqual(inspection);
      }
    },
  );

  test.for(images.filter(({ diskFormat }) => diskFormat === 'RAW'))(
    '$name declared as anything else is refused',
    async ({ bytes }) => {
      for (const other of diskFormats.filter((other) => other !== 'RAW' && other !== 'AMI')) {
        expect(await inspectWhole(as(other), bytes)).toMatchObject({
          kind: 'refused',
          reason: 'FORMAT_MISMATCH',
          found: other === 'ISO' && bytes.length < 34 * 1024 ? 'cut short' : 'nothing known',
        });
      }
    },
  );

  test.for(images.filter(({ diskFormat }) => diskFormat !== 'RAW'))(
    '$name is no kernel and no archive',
    async ({ bytes, found, name }) => {
      for (const kernel of [as('AKI'), as('ARI')]) {
        expect(await inspectWhole(kernel, bytes)).toMatchObject({ kind: 'refused', found });
      }
      for (const container of ['COMPRESSED', 'OVA', 'DOCKER'] as const) {
        expect(await inspectWhole(as('QCOW2', container), bytes)).toMatchObject({
          kind: 'refused',
          reason: 'FORMAT_MISMATCH',
          found: name.startsWith('vhd fixed') ? 'nothing known' : found,
        });
      }
    },
  );

  test('is decided by its first bytes, where its end does not matter', async () => {
    const needed = new Map<string, number>();
    for (const { name, diskFormat, bytes } of images) {
      needed.set(name, (await inspectGrowing(as(diskFormat), bytes)).available);
    }
    expect(needed.get('qcow2 0.10')).toBeLessThanOrEqual(1024);
    expect(needed.get('qcow2 with clusters of 2097152')).toBeLessThanOrEqual(1024);
    expect(needed.get('vmdk')).toBe(512 * 21);
    expect(needed.get('vmdk stream')).toBe(512 * 21);
    expect(needed.get('vdi')).toBe(512);
    expect(needed.get('vhdx')).toBeLessThanOrEqual(4 * 2 ** 20);
  });
});

describe.runIf(hasQemu)('an image that qemu-img makes of several files', () => {
  test.for(['compat=0.10', 'compat=1.1'])('qcow2 %s with a backing file', async (options) => {
    folder.run('create', '-q', '-f', 'qcow2', 'base.qcow2', '1M');
    const bytes = folder.create('qcow2', options, '-b', 'base.qcow2', '-F', 'qcow2');
    const info = folder.run('info', '--output=json', 'created.qcow2');
    expect(JSON.parse(info)).toHaveProperty('backing-filename', 'base.qcow2');

    const inspection = await inspectWhole(as('QCOW2'), bytes);

    expect(inspection).toMatchObject({
      kind: 'refused',
      reason: 'FORMAT_UNSAFE',
      found: 'backing file',
      message: expect.stringMatching(/"base\.qcow2".*qemu-img convert -O qcow2/),
    });
    const flat = Buffer.from(folder.run('convert', '-O', 'qcow2', 'created.qcow2', 'flat.qcow2'));
    expect(flat).toHaveLength(0);
    expect(await inspectWhole(as('QCOW2'), folder.read('flat.qcow2'))).toMatchObject({
      kind: 'sound',
    });
  });

  test.for(['data_file=data.bin', 'data_file=data.bin,data_file_raw=on'])(
    'qcow2 with an external %s',
    async (options) => {
      expect(await inspectWhole(as('QCOW2'), folder.create('qcow2', options))).toMatchObject({
        reason: 'FORMAT_UNSAFE',
        found: 'external data file',
      });
    },
  );

  test.for(['monolithicFlat', 'twoGbMaxExtentSparse', 'twoGbMaxExtentFlat'])(
    'the descriptor of vmdk %s',
    async (subformat) => {
      const descriptor = folder.create('vmdk', `subformat=${subformat}`);
      const inspection = await inspectWhole(as('VMDK'), descriptor);
      expect(inspection).toMatchObject({
        reason: 'FORMAT_UNSAFE',
        found: 'extents in other files',
      });
      expect(await inspectWhole(as('RAW'), descriptor)).toMatchObject({ found: 'vmdk' });
    },
  );

  test('a part of vmdk twoGbMaxExtentSparse', async () => {
    folder.create('vmdk', 'subformat=twoGbMaxExtentSparse');
    expect(await inspectWhole(as('VMDK'), folder.read('created-s001.vmdk'))).toMatchObject({
      reason: 'FORMAT_UNSAFE',
      found: 'no embedded descriptor',
    });
  });

  test('vmdk with a parent', async () => {
    folder.run('create', '-q', '-f', 'vmdk', 'base.vmdk', '1M');
    const bytes = folder.create('vmdk', '', '-b', 'base.vmdk', '-F', 'vmdk');
    expect(await inspectWhole(as('VMDK'), bytes)).toMatchObject({
      reason: 'FORMAT_UNSAFE',
      found: 'parent disk',
    });
  });

  test.for(['qcow', 'qed'])('an image of the old format %s is told by its name', async (format) => {
    const bytes = folder.create(format, '');
    for (const declared of [as('QCOW2'), as('RAW'), as('VHD')]) {
      expect(await inspectWhole(declared, bytes)).toMatchObject({
        reason: 'FORMAT_MISMATCH',
        found: format,
      });
    }
  });

  test('a LUKS volume is raw', async () => {
    const bytes = folder.create(
      'luks',
      'key-secret=key,iter-time=10,hash-alg=sha512',
      '--object',
      'secret,id=key,data=hush',
    );
    expect(await inspectWhole(as('RAW'), bytes)).toEqual({
      kind: 'sound',
      virtualSize: bytes.length,
    });
  });
});

const isos: readonly { name: string; bytes: Buffer }[] = [
  { name: 'least ISO', bytes: minimalIso() },
  { name: 'least ISO with a boot sector', bytes: minimalIso(bootSectorDisk(512)) },
];

describe('an ISO', () => {
  test.for(isos)('$name is sound, and early refused as anything else', async ({ bytes }) => {
    expect(await inspectWhole(as('ISO'), bytes)).toEqual({
      kind: 'sound',
      virtualSize: bytes.length,
    });
    for (const other of diskFormats.filter((other) => other !== 'ISO')) {
      const { inspection, available } = await inspectGrowing(as(other), bytes);
      expect(inspection).toMatchObject({ reason: 'FORMAT_MISMATCH', found: 'iso' });
      expect(available).toBeLessThanOrEqual(48 * 1024);
    }
  });
});
