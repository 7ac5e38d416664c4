import { afterAll, describe, expect, test } from 'vitest';
import { hasProgram } from '../support/disk-images.ts';
import { changed, u8, u32, u64, type Row } from './changes.ts';
import { withBytes } from './forgeries.ts';
import { as, inspectWhole } from './inspections.ts';
import { QemuFolder } from './qemu-images.ts';

const hasQemu = hasProgram('qemu-img', 'qemu-utils');
const folder = new QemuFolder();
afterAll(() => folder.remove());

const KiB = 1024;

describe.runIf(hasQemu)('vdi', () => {
  const sound = hasQemu ? folder.create('vdi', '') : Buffer.alloc(0);

  test.for<Row>([
    ['unknown version', u32(68, 1)],
    ['header length beyond reason', u32(72, 0)],
    ['header length beyond reason', u32(72, 0xffff_ffff)],
    ['differencing image', u32(76, 3)],
    ['differencing image', u32(76, 4)],
    ['differencing image', u8(424, 1)],
    ['differencing image', u8(455, 1)],
    ['sector size beyond reason', u32(360, 4096)],
    ['block size beyond reason', u32(376, 0)],
    ['block size beyond reason', u32(376, 0xffff_fe00)],
    ['virtual size beyond reason', u64(368, 2n ** 64n - 1n)],
    ['virtual size beyond reason', u64(368, 2n ** 40n)],
    ['virtual size beyond reason', u32(384, 0xffff_ffff)],
    ['block map offset beyond reason', u32(340, 0)],
    ['block map offset beyond reason', u32(340, 513)],
    ['data offset beyond reason', u32(344, 512)],
  ])('%s is refused', async ([found, ...changes]) => {
    const inspection = await inspectWhole(as('VDI'), changed(sound, 'little', ...changes));
    expect(inspection).toMatchObject({ reason: 'FORMAT_UNSAFE', found });
  });
});

describe.runIf(hasQemu)('ploop', () => {
  const sound = hasQemu ? folder.create('parallels', '') : Buffer.alloc(0);

  test.for<Row>([
    ['unknown version', u32(16, 3)],
    ['cluster size beyond reason', u32(28, 0)],
    ['cluster size beyond reason', u32(28, 0xffff_ffff)],
    ['block allocation table size beyond reason', u32(32, 0xffff_ffff)],
    ['virtual size beyond reason', u64(36, 2n ** 50n)],
  ])('%s is refused', async ([found, ...changes]) => {
    const inspection = await inspectWhole(as('PLOOP'), changed(sound, 'little', ...changes));
    expect(inspection).toMatchObject({ reason: 'FORMAT_UNSAFE', found });
  });

  test('the older signature has a size of 32 bits', async () => {
    const older = withBytes(sound, 0, 'WithoutFreeSpace');
    const forged = changed(older, 'little', u32(40, 7));
    expect(await inspectWhole(as('PLOOP'), forged)).toEqual({
      kind: 'sound',
      virtualSize: 700 * KiB,
    });
  });
});
