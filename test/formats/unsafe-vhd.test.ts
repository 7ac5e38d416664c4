import { afterAll, describe, expect, test } from 'vitest';
import { hasProgram } from '../support/disk-images.ts';
import { changed, moved, u8, u16, u32, u64, type Change, type Row } from './changes.ts';
import { resealedVhd } from './forgeries.ts';
import { as, inspectWhole } from './inspections.ts';
import { QemuFolder } from './qemu-images.ts';

const hasQemu = hasProgram('qemu-img', 'qemu-utils');
const folder = new QemuFolder();
afterAll(() => folder.remove());

const KiB = 1024;
const MiB = 1024 * KiB;

describe.runIf(hasQemu)('vhd', () => {
  const dynamic = hasQemu ? folder.create('vpc', '') : Buffer.alloc(0);
  const fixed = hasQemu ? folder.create('vpc', 'subformat=fixed') : Buffer.alloc(0);
  const end = dynamic.length - 512;
  const both = (change: Change) => [change, moved(change, end)];

  test.for<Row>([
    ['differencing disk', ...both(u32(60, 4))],
    ['disk type beyond reason', ...both(u32(60, 5))],
    ['footer at the start of a fixed disk', ...both(u32(60, 2))],
    ['unknown version', ...both(u32(12, 0x20000))],
    ['virtual size beyond reason', ...both(u64(48, 2n ** 60n))],
    ['block table size beyond reason', ...both(u64(48, 2n ** 50n))],
    ['header offset beyond reason', ...both(u64(16, 100))],
    ['header offset beyond reason', ...both(u64(16, 2n ** 40n))],
    ['block size beyond reason', u32(512 + 32, 3 * MiB)],
    ['block size beyond reason', u32(512 + 32, 0x8000_0000)],
    ['block table size beyond reason', u32(512 + 28, 0xffff_ffff)],
    ['block table size beyond reason', u32(512 + 28, 0)],
    ['block table offset beyond reason', u64(512 + 16, 2n ** 63n)],
    ['differencing disk', u8(512 + 40, 1)],
    ['differencing disk', u16(512 + 64, 0x41)],
    ['differencing disk', u32(512 + 576, 0x57327275)],
    ['footers that disagree', u64(end + 48, 512)],
    ['footers that disagree', u64(end + 40, 512)],
    ['footers that disagree', u32(end + 28, 0x77696e20)],
    ['footers that disagree', u32(end + 60, 2)],
    ['footers that disagree', u64(end + 16, 1024)],
  ])('%s is refused', async ([found, ...changes]) => {
    const forged = resealedVhd(changed(dynamic, 'big', ...changes));
    expect(await inspectWhole(as('VHD'), forged)).toMatchObject({
      reason: 'FORMAT_UNSAFE',
      found,
    });
  });

  test.for([100, 512 + 100, end + 100])('a wrong byte at %i is told as damage', async (offset) => {
    const damaged = changed(dynamic, 'big', u8(offset, 7));
    expect(await inspectWhole(as('VHD'), damaged)).toMatchObject({
      reason: 'FORMAT_MISMATCH',
      found: 'damaged vhd',
    });
  });

  test('a dynamic disk without its end is told as cut short', async () => {
    const cut = dynamic.subarray(0, dynamic.length - 512);
    expect(await inspectWhole(as('VHD'), cut)).toMatchObject({
      reason: 'FORMAT_MISMATCH',
      found: 'cut short',
    });
  });

  test('a fixed disk is as long as its footer says', async () => {
    const footer = fixed.length - 512;
    const larger = resealedVhd(changed(fixed, 'big', u64(footer + 48, fixed.length)));
    const isDynamic = resealedVhd(changed(fixed, 'big', u32(footer + 60, 3)));
    for (const forged of [larger, isDynamic]) {
      expect(await inspectWhole(as('VHD'), forged)).toMatchObject({
        reason: 'FORMAT_MISMATCH',
        found: 'cut short',
      });
    }
  });

  test('the larger of size and geometry is told, where programs differ', async () => {
    const geometry = u32(56, (1000 << 16) | (16 << 8) | 63);
    const forged = resealedVhd(changed(dynamic, 'big', ...both(geometry)));
    expect(await inspectWhole(as('VHD'), forged)).toMatchObject({
      found: 'block table size beyond reason',
    });
    const bySize = changed(forged, 'big', ...both(u32(28, 0x77696e20)));
    expect(await inspectWhole(as('VHD'), resealedVhd(bySize))).toMatchObject({ kind: 'sound' });
  });
});
