import fc from 'fast-check';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { hasProgram, hasRescueIso, rescueIso } from '../support/disk-images.ts';
import { changed, u32, u8, type Change } from './changes.ts';
import { bootSectorDisk, minimalIso, withBytes } from './forgeries.ts';
import { as, inspectGrowing, inspectWhole } from './inspections.ts';
import { QemuFolder } from './qemu-images.ts';
import { XorrisoFolder } from './xorriso-images.ts';

const hasXorriso = hasProgram('xorriso', 'xorriso');
const hasQemu = hasProgram('qemu-img', 'qemu-utils');
const isos = new XorrisoFolder();
const qemu = new QemuFolder();
afterAll(() => {
  isos.remove();
  qemu.remove();
});

const KiB = 1024;
const MiB = KiB * KiB;

/** Two sectors: an MBR with one partition, whose fields begin at 446, and an empty one. */
function mbrWith(...changes: Change[]): Buffer {
  return changed(
    bootSectorDisk(1024),
    'little',
    u8(450, 0x83),
    u32(454, 1),
    u32(458, 8),
    ...changes,
  );
}

const hybrids = [
  { name: 'least ISO with one partition', bytes: minimalIso(mbrWith()) },
  { name: 'ISO by GRUB for a USB stick', path: '/usr/lib/grub-rescue/grub-rescue-usb.img' },
  { name: 'ISO by GRUB for a floppy', path: '/usr/lib/grub-rescue/grub-rescue-floppy.img' },
  { name: 'ISO by GRUB for a CD', path: rescueIso },
  ...(hasXorriso ? isos.hybrids() : []),
]
  .filter((image) => 'bytes' in image || hasRescueIso())
  .map(({ name, ...image }) => ({
    name,
    bytes: 'bytes' in image ? image.bytes : readFileSync(image.path),
  }));

describe.each(hybrids)('a hybrid, $name,', ({ bytes }) => {
  test('is an ISO and a raw disk, whichever it is declared to be', async () => {
    for (const diskFormat of ['ISO', 'RAW', 'AMI'] as const) {
      const { inspection } = await inspectGrowing(as(diskFormat), bytes);
      expect(inspection).toEqual({ kind: 'sound', virtualSize: bytes.length });
      expect(await inspectWhole(as(diskFormat), bytes)).toEqual(inspection);
    }
  });

  test('is early refused as anything else, by name', async () => {
    for (const diskFormat of ['QCOW2', 'VMDK', 'VDI', 'VHDX', 'PLOOP', 'AKI', 'ARI'] as const) {
      const { inspection, available } = await inspectGrowing(as(diskFormat), bytes);
      expect(inspection).toMatchObject({ reason: 'FORMAT_MISMATCH', found: 'iso' });
      expect(available).toBeLessThanOrEqual(48 * KiB);
    }
  });

  test('is refused as a VHD as long as it has no footer', async () => {
    const { inspection } = await inspectGrowing(as('VHD'), bytes);
    expect(inspection).toMatchObject({ reason: 'FORMAT_MISMATCH', found: 'iso' });
  });

  test.runIf(hasQemu)('is a VHD and an ISO, but no raw disk, with a footer', async () => {
    const vhd = asFixedVhd(bytes);
    expect(await inspectWhole(as('VHD'), vhd)).toEqual({
      kind: 'sound',
      virtualSize: vhd.length - 512,
    });
    expect(await inspectWhole(as('ISO'), vhd)).toMatchObject({ kind: 'sound' });
    expect(await inspectWhole(as('RAW'), vhd)).toMatchObject({ found: 'vhd' });
  });
});

describe('an ISO alone', () => {
  const pure = hasXorriso ? isos.pure() : minimalIso();
  const noProof: readonly (readonly [string, Buffer])[] = [
    ['nothing before it', Buffer.alloc(0)],
    ['a boot sector without partitions', bootSectorDisk(1024)],
    ['a partition of no type', mbrWith(u8(450, 0))],
    ['a partition of no length', mbrWith(u32(458, 0))],
    ['a partition that begins after its end', mbrWith(u32(454, 2 ** 31))],
    ['a table without the signature', mbrWith(u8(511, 0))],
    ['code where the table is', mbrWith(u8(446, 0x90))],
    ['code where another entry is', mbrWith(u8(494, 0x01))],
    ['a protective MBR without a GPT', mbrWith(u8(450, 0xee))],
    ['a GPT without a checksum', withBytes(mbrWith(u8(450, 0xee)), 512, 'EFI PART')],
    ['an Apple map without entries', withBytes(Buffer.alloc(512), 0, 'ER\x02\x00')],
    ['an Apple map of blocks of 0 bytes', withBytes(Buffer.alloc(512), 0, 'ER\x00\x00')],
  ];

  test.for(noProof)('with %s is no raw disk', async ([, start]) => {
    const iso = withBytes(pure, 0, start);
    expect(await inspectWhole(as('RAW'), iso)).toMatchObject({
      reason: 'FORMAT_MISMATCH',
      found: 'iso',
    });
    expect(await inspectWhole(as('ISO'), iso)).toMatchObject({ kind: 'sound' });
  });

  test('with nothing that could be a table is refused as raw with its first descriptor', async () => {
    const { inspection, available } = await inspectGrowing(as('RAW'), pure);
    expect(inspection).toMatchObject({ found: 'iso' });
    expect(available).toBeLessThanOrEqual(48 * KiB);
  });

  test.runIf(hasQemu)("stays an ISO with a fixed VHD's footer after it", async () => {
    const vhd = asFixedVhd(pure);
    expect(await inspectWhole(as('ISO'), vhd)).toEqual({
      kind: 'sound',
      virtualSize: vhd.length,
    });
    const damaged = withBytes(vhd, vhd.length - 400, 'x');
    expect(await inspectWhole(as('ISO'), damaged)).toMatchObject({ found: 'vhd' });
    const differencing = withBytes(vhd, vhd.length - 512 + 60, '\0\0\0\x04');
    expect(await inspectWhole(as('ISO'), differencing)).toMatchObject({ kind: 'refused' });
  });
});

describe('a disk alone', () => {
  test('is no ISO, whatever its partition table', async () => {
    const gpt = withBytes(mbrWith(u8(450, 0xee)), 512, 'EFI PART');
    for (const start of [mbrWith(), gpt]) {
      const disk = withBytes(Buffer.alloc(MiB), 0, start);
      const { inspection, available } = await inspectGrowing(as('ISO'), disk);
      expect(inspection).toMatchObject({ reason: 'FORMAT_MISMATCH', found: 'raw' });
      expect(available).toBeLessThanOrEqual(48 * KiB);
    }
  });
});

const gptHybrid = hasXorriso
  ? isos.hybrids().find(({ name }) => name.includes('GPT'))!.bytes
  : undefined;

test.runIf(gptHybrid !== undefined)('a GPT counts only with both of its checksums', async () => {
  const header = 512;
  const table = 512 * Number(gptHybrid!.readBigUInt64LE(header + 72));
  for (const at of [header + 40, header + 56, header + 88, table, table + 56]) {
    const damaged = Buffer.from(gptHybrid!);
    damaged[at]! ^= 1;
    expect(await inspectWhole(as('RAW'), damaged)).toMatchObject({ found: 'iso' });
    expect(await inspectWhole(as('ISO'), damaged)).toMatchObject({ kind: 'sound' });
  }
});

test('hostile partition tables before an ISO are answered, early as late', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 64, maxLength: 64 }),
      fc.constantFrom('', 'ER\x02\x00', 'ER\xfe\x00'),
      fc.uint8Array({ maxLength: 96 }),
      fc.constantFrom('RAW', 'ISO', 'VHD', 'AKI', 'QCOW2'),
      async (entries, start, gpt, diskFormat) => {
        const sectors = withBytes(
          withBytes(withBytes(bootSectorDisk(1024), 0, start), 446, entries),
          512,
          Buffer.concat([Buffer.from('EFI PART'), gpt]).subarray(0, 512),
        );
        const { inspection } = await inspectGrowing(as(diskFormat), minimalIso(sectors));
        expect(inspection).toEqual(await inspectWhole(as(diskFormat), minimalIso(sectors)));
      },
    ),
    { numRuns: 300 },
  );
});

/** The bytes with the footer that qemu-img writes after them. */
function asFixedVhd(bytes: Buffer): Buffer {
  writeFileSync(join(qemu.path, 'hybrid.raw'), bytes);
  const exact = ['-o', 'subformat=fixed,force_size=on'];
  qemu.run('convert', '-f', 'raw', '-O', 'vpc', ...exact, 'hybrid.raw', 'hybrid.vhd');
  return qemu.read('hybrid.vhd');
}
