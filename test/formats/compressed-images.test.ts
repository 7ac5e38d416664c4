import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { Compression } from '../../src/formats/compression.ts';
import { hasProgram } from '../support/disk-images.ts';
import { runProgram } from '../support/programs.ts';
import { compressed, compressedZeros, compressions } from './compressors.ts';
import { bootSectorDisk, minimalIso, tarArchive, withBytes } from './forgeries.ts';
import { as, inspectGrowing, inspectPrefix, inspectWhole } from './inspections.ts';
import { QemuFolder } from './qemu-images.ts';

const KiB = 1024;
const MiB = KiB * KiB;
const hasQemu = hasProgram('qemu-img', 'qemu-utils');
const folder = new QemuFolder();
afterAll(() => folder.remove());
const images = hasQemu ? await folder.makeAll() : [];

/** How much of a compressed image is looked at. */
const lookedAt = MiB;

/** A qcow2 of which no compressor can make less than 3 MiB. */
function largeQcow2(): Buffer {
  writeFileSync(join(folder.path, 'large.raw'), randomBytes(3 * MiB));
  folder.run('convert', '-f', 'raw', '-O', 'qcow2', 'large.raw', 'large.qcow2');
  return folder.read('large.qcow2');
}

const large = hasQemu ? largeQcow2() : Buffer.alloc(0);

test.for(images)('$name is known through gzip as it is without', async (image) => {
  const bytes = compressed('gzip', image.bytes, '-1');
  const plain = await inspectWhole(as(image.diskFormat), image.bytes);
  const inspection = await inspectWhole(as(image.diskFormat, 'COMPRESSED'), bytes);
  // Of what is larger than is looked into only the headers are known.
  const isAllSeen = image.bytes.length <= 4 * MiB;
  const tellsAtItsEnd = /vhd (?:dynamic|fixed)/.test(image.name);
  expect(inspection).toEqual(
    isAllSeen || !tellsAtItsEnd ? plain : { kind: 'sound', virtualSize: undefined },
  );
});

describe.each(compressions)('compressed by %s', (compression: Compression) => {
  const pack = (bytes: Uint8Array): Buffer => compressed(compression, bytes);

  test.runIf(hasQemu)('a large qcow2 is known by its first megabyte', async () => {
    const bytes = pack(large);
    expect(bytes.length).toBeGreaterThan(2 * MiB);
    const declared = as('QCOW2', 'COMPRESSED');
    const { inspection, available } = await inspectGrowing(declared, bytes);
    expect(inspection).toEqual({ kind: 'sound', virtualSize: 3 * MiB });
    expect(available).toBe(lookedAt);
    expect(await inspectWhole(declared, bytes)).toEqual(inspection);
    // What comes after it is not looked at.
    const cut = bytes.subarray(0, 2 * MiB);
    expect(await inspectWhole(declared, cut)).toEqual(inspection);
  });

  test.runIf(hasQemu)('what is something else than declared is told by its name', async () => {
    const qcow2 = pack(large);
    for (const diskFormat of ['RAW', 'VMDK', 'VDI', 'VHD', 'VHDX', 'ISO', 'AKI'] as const) {
      const { inspection, available } = await inspectGrowing(as(diskFormat, 'COMPRESSED'), qcow2);
      expect(inspection).toMatchObject({ reason: 'FORMAT_MISMATCH', found: 'qcow2' });
      expect(available).toBe(lookedAt);
    }
    const raw = pack(bootSectorDisk(64 * KiB));
    const inspection = await inspectWhole(as('QCOW2', 'COMPRESSED'), raw);
    expect(inspection).toMatchObject({
      reason: 'FORMAT_MISMATCH',
      found: 'raw',
      message: expect.stringContaining('what is compressed in it is raw'),
    });
  });

  test('a raw disk is as large as it is, where that is seen', async () => {
    const small = pack(bootSectorDisk(100 * KiB));
    expect(await inspectWhole(as('RAW', 'COMPRESSED'), small)).toEqual({
      kind: 'sound',
      virtualSize: 100 * KiB,
    });
    const random = pack(randomBytes(2 * MiB).fill(0, 0, 512));
    for (const bytes of [compressedZeros(compression), random]) {
      const { inspection } = await inspectGrowing(as('RAW', 'COMPRESSED'), bytes);
      expect(inspection).toEqual({ kind: 'sound', virtualSize: undefined });
    }
  });

  test('an ISO and an archive on a disk are what they are', async () => {
    expect(await inspectWhole(as('ISO', 'COMPRESSED'), pack(minimalIso()))).toMatchObject({
      kind: 'sound',
    });
    expect(await inspectWhole(as('RAW', 'COMPRESSED'), pack(minimalIso()))).toMatchObject({
      found: 'iso',
    });
    expect(await inspectWhole(as('RAW', 'COMPRESSED'), pack(tarArchive()))).toMatchObject({
      kind: 'sound',
    });
  });

  test.runIf(hasQemu)('a disk that refers to the host is as unsafe as without', async () => {
    folder.run('create', '-q', '-f', 'qcow2', 'base.qcow2', '1M');
    const backed = folder.create('qcow2', '', '-b', 'base.qcow2', '-F', 'qcow2');
    expect(await inspectWhole(as('QCOW2', 'COMPRESSED'), pack(backed))).toMatchObject({
      reason: 'FORMAT_UNSAFE',
      found: 'backing file',
      message: expect.stringMatching(/what is compressed in it cannot be taken/),
    });
    const flat = folder.create('vmdk', 'subformat=monolithicFlat');
    expect(await inspectWhole(as('VMDK', 'COMPRESSED'), pack(flat))).toMatchObject({
      reason: 'FORMAT_UNSAFE',
      found: 'extents in other files',
    });
  });

  test('a page is no disk, and what is compressed twice is none either', async () => {
    const page = pack(Buffer.from('<html>login</html>'));
    expect(await inspectWhole(as('RAW', 'COMPRESSED'), page)).toMatchObject({
      reason: 'FORMAT_MISMATCH',
      found: 'html',
      message: expect.stringContaining('"<html>login</html>"'),
    });
    expect(await inspectWhole(as('RAW', 'COMPRESSED'), pack(page))).toMatchObject({
      found: compression,
    });
  });

  test('what is cut or damaged is refused as such', async () => {
    const bytes = pack(randomBytes(200 * KiB).fill(0, 0, 512));
    for (const length of [20, 1000, bytes.length - 1]) {
      expect(await inspectWhole(as('RAW', 'COMPRESSED'), bytes.subarray(0, length))).toMatchObject({
        reason: 'FORMAT_MISMATCH',
        found: 'cut short',
      });
    }
    const damaged = withBytes(bytes, 100 * KiB, 'damaged');
    expect(await inspectWhole(as('RAW', 'COMPRESSED'), damaged)).toMatchObject({
      reason: 'FORMAT_MISMATCH',
      found: `damaged ${compression}`,
    });
    const more = Buffer.concat([bytes, Buffer.from('and something else')]);
    expect(await inspectWhole(as('RAW', 'COMPRESSED'), more)).toMatchObject({
      reason: 'FORMAT_MISMATCH',
    });
  });

  test('what is unpacked later is told to be damaged then, but what is inside is told now', async () => {
    const unpacked = { ...as('QCOW2', 'COMPRESSED'), isUnpackedLater: true };
    const bytes = pack(bootSectorDisk(64 * KiB));
    expect(await inspectWhole(unpacked, bytes)).toMatchObject({ found: 'raw' });
    for (const damaged of [bytes.subarray(0, -1), withBytes(bytes, 20, 'damaged')]) {
      expect(await inspectWhole(unpacked, damaged)).toEqual({
        kind: 'sound',
        virtualSize: undefined,
      });
    }
  });

  test.runIf(hasQemu)('a growing prefix never changes an answer', async () => {
    const bytes = pack(large);
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.nat({ max: 2000 }), fc.nat({ max: bytes.length })),
        fc.constantFrom('QCOW2', 'RAW', 'VHD'),
        async (length, diskFormat) => {
          const declared = as(diskFormat, 'COMPRESSED');
          const inspection = await inspectPrefix(declared, bytes, length);
          if (inspection.kind === 'undecided') {
            expect(length).toBeLessThan(lookedAt);
            expect(inspection.needs).toBe(length < 512 ? 512 : lookedAt);
          } else {
            expect(inspection).toEqual(await inspectWhole(declared, bytes));
          }
        },
      ),
      { numRuns: 6 },
    );
  });
});

test.runIf(compressions.includes('xz'))(
  'xz that the decoder does not know is taken unseen, and what takes too much memory is not',
  async () => {
    const content = bootSectorDisk(64 * KiB);
    const unknown = compressed('xz', content, '--check=sha256');
    expect(await inspectWhole(as('QCOW2', 'COMPRESSED'), unknown)).toEqual({
      kind: 'sound',
      virtualSize: undefined,
    });
    const large = compressed('xz', content, '--lzma2=dict=512MiB');
    expect(await inspectWhole(as('RAW', 'COMPRESSED'), large)).toMatchObject({
      reason: 'FORMAT_UNSAFE',
      found: 'xz beyond reason',
    });
  },
);

test('many looks at once take no more memory than a few', async () => {
  const program = join(import.meta.dirname, 'many-looks.ts');
  const { output, errors } = await runProgram(process.execPath, [program]);
  expect(errors).toBe('');
  const { grownBytes, inspections } = JSON.parse(output) as {
    grownBytes: number;
    inspections: readonly unknown[];
  };
  expect(grownBytes).toBeLessThan(200 * MiB);
  expect(inspections).toHaveLength(100);
  for (const inspection of inspections) {
    expect(inspection).toMatchObject({ reason: 'FORMAT_MISMATCH', found: 'nothing known' });
  }
});
