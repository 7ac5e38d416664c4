import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ImageReader, maxInspectedBytes } from '../../src/formats/image-reader.ts';
import { containerFormats, diskFormats } from '../../src/records/image.ts';
import { bootSectorDisk, minimalIso, tarArchive, withBytes } from './forgeries.ts';
import { compressed, compressions } from './compressors.ts';
import { as, inspectGrowing, inspectPrefix, inspectWhole, PrefixSource } from './inspections.ts';

const KiB = 1024;

const headers: readonly (readonly [found: string, offset: number, signature: string])[] = [
  ['qcow', 0, 'QFI\xfb\0\0\0\x01'],
  ['qcow2', 0, 'QFI\xfb\0\0\0\x03'],
  ['qed', 0, 'QED\0'],
  ['vmdk', 0, 'KDMV'],
  ['vmdk', 0, '# Disk DescriptorFile\n'],
  ['vmdk', 0, '#\n\n  \r\n#x\nversion=1\n'],
  ['cowd', 0, 'COWD'],
  ['vhd', 0, 'conectix'],
  ['vhdx', 0, 'vhdxfile'],
  ['vdi', 64, '\x7f\x10\xda\xbe'],
  ['parallels', 0, 'WithoutFreeSpace'],
  ['parallels', 0, 'WithouFreSpacExt'],
  ['bochs', 0, 'Bochs Virtual HD Image'],
  ['cloop', 0, '#!/bin/sh\n#V2.0 Format\n'],
];

describe('an empty file', () => {
  test.for(['RAW', 'AMI'] as const)('is sound as %s', async (diskFormat) => {
    const inspection = await inspectWhole(as(diskFormat), Buffer.alloc(0));
    expect(inspection).toEqual({ kind: 'sound', virtualSize: 0 });
  });

  test.for(['QCOW2', 'VMDK', 'VDI', 'VHD', 'VHDX', 'ISO', 'PLOOP'] as const)(
    'is refused as %s',
    async (diskFormat) => {
      expect(await inspectWhole(as(diskFormat), Buffer.alloc(0))).toMatchObject({
        reason: 'FORMAT_MISMATCH',
        found: 'empty file',
        message: expect.stringContaining('cut short'),
      });
    },
  );

  test.for(['COMPRESSED', 'OVA', 'DOCKER'] as const)('is refused in %s', async (container) => {
    expect(await inspectWhole(as('RAW', container), Buffer.alloc(0))).toMatchObject({
      reason: 'FORMAT_MISMATCH',
    });
  });
});

describe('random bytes', () => {
  // A first byte of zero rules out every signature.
  const bytes = withBytes(randomBytes(100 * KiB), 0, '\0');
  bytes[510] = 0;

  test.for(['QCOW2', 'VMDK', 'VDI', 'VHDX', 'PLOOP'] as const)(
    'are refused as %s when 512 of them have come',
    async (diskFormat) => {
      const { inspection, available } = await inspectGrowing(as(diskFormat), bytes);
      expect(inspection).toMatchObject({
        reason: 'FORMAT_MISMATCH',
        found: 'nothing known',
        message: expect.stringMatching(/declared as .* but nothing known .* RAW/),
      });
      expect(available).toBe(512);
    },
  );

  test('are refused as ISO by the first descriptor', async () => {
    const { inspection, available } = await inspectGrowing(as('ISO'), bytes);
    expect(inspection).toMatchObject({ reason: 'FORMAT_MISMATCH', found: 'nothing known' });
    expect(available).toBe(34 * KiB);
  });

  test('are refused as VHD by the end only', async () => {
    const { inspection, available } = await inspectGrowing(as('VHD'), bytes);
    expect(inspection).toMatchObject({ reason: 'FORMAT_MISMATCH', found: 'nothing known' });
    expect(available).toBe(bytes.length);
  });

  test('are a raw disk, known when whole', async () => {
    expect(await inspectPrefix(as('RAW'), bytes, 90 * KiB)).toEqual({
      kind: 'undecided',
      needs: Number.POSITIVE_INFINITY,
    });
    expect(await inspectWhole(as('RAW'), bytes)).toEqual({
      kind: 'sound',
      virtualSize: bytes.length,
    });
  });
});

describe('a raw disk', () => {
  test.for([
    ['a boot sector', bootSectorDisk(64 * KiB)],
    ['a GPT', withBytes(bootSectorDisk(64 * KiB), 512, 'EFI PART')],
    ['ext4', withBytes(Buffer.alloc(64 * KiB), 1080, '\x53\xef')],
    ['LUKS', withBytes(Buffer.alloc(64 * KiB), 0, 'LUKS\xba\xbe')],
    ['an archive', tarArchive()],
    ['UDF alone', withBytes(Buffer.alloc(64 * KiB), 32 * KiB, '\0BEA01')],
    ['a swap area', withBytes(Buffer.alloc(64 * KiB), 4086, 'SWAPSPACE2')],
  ] as const)('with %s is sound', async ([, bytes]) => {
    for (const declared of [as('RAW'), as('AMI')]) {
      expect(await inspectWhole(declared, bytes)).toEqual({
        kind: 'sound',
        virtualSize: bytes.length,
      });
    }
  });

  test('with a boot sector declared as something else is told to be raw', async () => {
    for (const diskFormat of ['QCOW2', 'VMDK', 'VHDX', 'ISO', 'VHD'] as const) {
      expect(await inspectWhole(as(diskFormat), bootSectorDisk(64 * KiB))).toMatchObject({
        reason: 'FORMAT_MISMATCH',
        found: 'raw',
      });
    }
  });
});

describe('bytes with the signature of', () => {
  test.for(headers)('%s at %i (%j) are neither raw nor a kernel', async ([found, offset, text]) => {
    const bytes = withBytes(bootSectorDisk(64 * KiB), offset, text);
    for (const diskFormat of ['RAW', 'AMI', 'AKI', 'ARI', 'ISO'] as const) {
      const { inspection, available } = await inspectGrowing(as(diskFormat), bytes);
      expect(inspection).toMatchObject({ reason: 'FORMAT_MISMATCH', found });
      expect(available).toBe(512);
    }
  });

  test.for(headers)('%s at %i (%j) and of an ISO are no ISO', async ([found, offset, text]) => {
    const bytes = minimalIso(withBytes(Buffer.alloc(512), offset, text));
    for (const diskFormat of ['RAW', 'ISO'] as const) {
      expect(await inspectWhole(as(diskFormat), bytes)).toMatchObject({
        reason: 'FORMAT_MISMATCH',
        found,
      });
    }
  });

  test('two disks are neither', async () => {
    const bytes = withBytes(withBytes(Buffer.alloc(KiB), 0, 'QFI\xfb'), 64, '\x7f\x10\xda\xbe');
    expect(await inspectWhole(as('QCOW2'), bytes)).toMatchObject({ found: 'vdi' });
    expect(await inspectWhole(as('VDI'), bytes)).toMatchObject({ found: 'qcow2' });
  });

  test.for([512, 511])("a fixed VHD's footer of %i bytes are neither raw nor ISO", async (end) => {
    const bytes = minimalIso();
    const ended = withBytes(bytes, bytes.length - end, 'conectix');
    expect(await inspectWhole(as('ISO'), ended)).toMatchObject({ found: 'vhd' });
    const raw = withBytes(Buffer.alloc(KiB), KiB - end, 'conectix');
    expect(await inspectWhole(as('RAW'), raw)).toMatchObject({ found: 'vhd' });
    expect(await inspectWhole(as('VHD'), raw)).toMatchObject({ reason: 'FORMAT_MISMATCH' });
  });
});

describe('a compressed file', () => {
  test.for(compressions)('by %s is sound as such, and a kernel', async (name) => {
    for (const content of [Buffer.alloc(0), randomBytes(5000)]) {
      const bytes = compressed(name, content);
      expect(await inspectWhole(as('RAW', 'COMPRESSED'), bytes)).toEqual({
        kind: 'sound',
        virtualSize: content.length,
      });
      expect(await inspectWhole(as('AKI'), bytes)).toEqual({
        kind: 'sound',
        virtualSize: undefined,
      });
      for (const diskFormat of diskFormats.filter((format) => !/A[KR]I/.test(format))) {
        expect(await inspectWhole(as(diskFormat), bytes)).toMatchObject({
          reason: 'FORMAT_MISMATCH',
          found: name,
          message: expect.stringContaining('container_format COMPRESSED'),
        });
      }
      expect(await inspectWhole(as('RAW', 'OVA'), bytes)).toMatchObject({ found: name });
    }
  });

  test('with a skippable frame first is zstd too', async () => {
    const bytes = Buffer.concat([Buffer.from('502a4d1804000000deadbeef', 'hex')]);
    expect(await inspectWhole(as('RAW', 'COMPRESSED'), bytes)).toMatchObject({ kind: 'sound' });
  });
});

describe('an archive', () => {
  test('is no disk, and needs a right checksum', async () => {
    expect(await inspectWhole(as('QCOW2'), tarArchive())).toMatchObject({ found: 'tar' });
    const damaged = withBytes(tarArchive(), 0, 'other');
    expect(await inspectWhole(as('VMDK', 'OVA'), damaged)).toMatchObject({
      found: 'nothing known',
    });
  });

  test('of OVF is sound whatever it is, unless it is plainly no image', async () => {
    for (const bytes of [Buffer.alloc(0), randomBytes(100), randomBytes(1000), tarArchive()]) {
      const { inspection, available } = await inspectGrowing(as('VMDK', 'OVF'), bytes);
      expect(inspection).toEqual({ kind: 'sound', virtualSize: undefined });
      expect(available).toBe(Math.min(bytes.length, 512));
    }
  });
});

test('an ISO after the descriptors of UDF is found, and one without a primary descriptor is not', async () => {
  const iso = minimalIso();
  const descriptor = 32 * KiB;
  const bridge = withBytes(withBytes(iso, descriptor, '\0BEA01'), descriptor + 4 * KiB, '\0NSR02');
  expect(await inspectWhole(as('ISO'), bridge)).toMatchObject({ kind: 'sound' });
  expect(await inspectWhole(as('RAW'), bridge)).toMatchObject({ found: 'iso' });
  for (const other of ['\xffCD001', '\0OTHER']) {
    const forged = withBytes(iso, descriptor, other);
    expect(await inspectWhole(as('ISO'), forged)).toMatchObject({ found: 'nothing known' });
  }
});

test('a reader refuses to read more than the bound', async () => {
  const reader = new ImageReader(new PrefixSource(Buffer.alloc(8 * KiB * KiB)));
  await reader.read(0, maxInspectedBytes - 4 * KiB);
  await reader.read(5 * KiB * KiB, 1);
  await expect(reader.read(6 * KiB * KiB, 1)).rejects.toMatchObject({
    reason: 'FORMAT_UNSAFE',
    found: 'too much metadata',
  });
});

test('every declaration is answered, whatever has come', async () => {
  for (const containerFormat of containerFormats) {
    for (const diskFormat of diskFormats) {
      const declared = as(diskFormat, containerFormat);
      const { inspection } = await inspectGrowing(declared, Buffer.alloc(36 * KiB));
      expect(inspection.kind).not.toBe('undecided');
    }
  }
});
