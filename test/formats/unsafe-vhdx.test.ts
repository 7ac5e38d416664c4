import { afterAll, describe, expect, test } from 'vitest';
import { hasProgram } from '../support/disk-images.ts';
import { changed, moved, u8, u16, u32, u64, type Change, type Row } from './changes.ts';
import { resealedVhdx, withBytes } from './forgeries.ts';
import { as, inspectWhole } from './inspections.ts';
import { QemuFolder } from './qemu-images.ts';

const hasQemu = hasProgram('qemu-img', 'qemu-utils');
const folder = new QemuFolder();
afterAll(() => folder.remove());

const KiB = 1024;
const MiB = 1024 * KiB;

describe.runIf(hasQemu)('vhdx', () => {
  const sound = hasQemu ? folder.create('vhdx', 'block_size=1M') : Buffer.alloc(0);
  const metadata = 3 * MiB;
  const inHeaders = (change: Change) => [64 * KiB, 128 * KiB].map((start) => moved(change, start));
  const inTables = (change: Change) => [192 * KiB, 256 * KiB].map((start) => moved(change, start));

  test('the metadata lie where this test changes them', () => {
    expect(sound.toString('latin1', metadata, metadata + 8)).toBe('metadata');
  });

  test.for<Row>([
    ['log to be replayed', ...inHeaders(u8(48, 1))],
    ['unknown version', ...inHeaders(u16(66, 2))],
    ['headers that disagree', u64(64 * KiB + 8, 5), u64(128 * KiB + 8, 5), u8(64 * KiB + 48, 1)],
    ['number of regions beyond reason', ...inTables(u32(8, 2048))],
    ['set of regions beyond reason', ...inTables(u32(8, 1))],
    ['set of regions beyond reason', ...inTables(u32(8, 0))],
    ['region beyond reason', ...inTables(u32(8, 3))],
    ['region offset beyond reason', ...inTables(u64(32, 2n ** 63n))],
    ['region beyond reason', ...inTables(u64(32, 64 * KiB))],
    ['region beyond reason', ...inTables(u64(32, 3 * MiB))],
    ['region beyond reason', ...inTables(u32(40, 0xffff_ffff))],
    ['unknown region', ...inTables(u8(16, 1)), ...inTables(u32(44, 1))],
    ['region tables that disagree', u32(256 * KiB + 8, 1)],
    ['metadata table beyond reason', u8(metadata, 0)],
    ['number of metadata items beyond reason', u16(metadata + 10, 2048)],
    ['set of metadata items beyond reason', u16(metadata + 10, 0)],
    ['metadata item beyond reason', u32(metadata + 32 + 16, 0xffff_ffff)],
    ['unknown metadata item', u8(metadata + 32, 1)],
    ['differencing disk', u32(metadata + 64 * KiB + 4, 2), u32(metadata + 32 + 24, 5)],
    ['differencing disk', u32(metadata + 64 * KiB + 4, 2)],
    ['block size beyond reason', u32(metadata + 64 * KiB, 3 * MiB)],
    ['virtual size beyond reason', u64(metadata + 64 * KiB + 8, 2n ** 60n)],
    ['virtual size beyond reason', u64(metadata + 64 * KiB + 8, 2n ** 50n)],
  ])('%s is refused', async ([found, ...changes]) => {
    const forged = resealedVhdx(changed(sound, 'little', ...changes));
    expect(await inspectWhole(as('VHDX'), forged)).toMatchObject({
      reason: 'FORMAT_UNSAFE',
      found,
    });
  });

  test('a parent locator is refused', async () => {
    const locator = Buffer.from('2d5fd3a80bb34d45abf7d3d84834ab0c', 'hex');
    const count = sound.readUInt16LE(metadata + 10);
    const entry = metadata + 32 + 32 * count;
    const withEntry = withBytes(sound, entry, locator);
    const forged = changed(withEntry, 'little', u16(metadata + 10, count + 1));
    expect(await inspectWhole(as('VHDX'), forged)).toMatchObject({ found: 'differencing disk' });
  });

  test('one damaged header is no harm, two are told as damage', async () => {
    const one = changed(sound, 'little', u8(64 * KiB + 100, 1));
    expect(await inspectWhole(as('VHDX'), one)).toMatchObject({ kind: 'sound' });
    const two = changed(one, 'little', u8(128 * KiB + 100, 1));
    expect(await inspectWhole(as('VHDX'), two)).toMatchObject({
      reason: 'FORMAT_MISMATCH',
      found: 'damaged vhdx',
    });
  });

  test('a damaged region table is refused', async () => {
    const one = changed(sound, 'little', u8(192 * KiB + 60_000, 1));
    expect(await inspectWhole(as('VHDX'), one)).toMatchObject({
      found: 'region tables that disagree',
    });
    const two = changed(one, 'little', u8(256 * KiB + 60_000, 1));
    expect(await inspectWhole(as('VHDX'), two)).toMatchObject({ found: 'damaged vhdx' });
  });
});
