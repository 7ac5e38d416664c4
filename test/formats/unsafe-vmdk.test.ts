import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { hasProgram } from '../support/disk-images.ts';
import { changed, u16, u32, u64, type Row } from './changes.ts';
import { withBytes, withDescriptor, withVmdkFooter } from './forgeries.ts';
import { as, inspectGrowing, inspectWhole } from './inspections.ts';
import { QemuFolder } from './qemu-images.ts';

const hasQemu = hasProgram('qemu-img', 'qemu-utils');
const folder = new QemuFolder();
afterAll(() => folder.remove());

const KiB = 1024;
const MiB = 1024 * KiB;

describe.runIf(hasQemu)('vmdk', () => {
  const sound = hasQemu ? folder.create('vmdk', '') : Buffer.alloc(0);

  test.for<Row>([
    ['unknown version', u32(4, 0)],
    ['unknown version', u32(4, 4)],
    ['virtual size beyond reason', u64(12, 2n ** 53n)],
    ['virtual size beyond reason', u64(12, 2n ** 64n - 1n)],
    ['virtual size beyond reason', u64(12, 0)],
    ['grain size beyond reason', u64(20, 0)],
    ['grain size beyond reason', u64(20, 100)],
    ['grain size beyond reason', u64(20, 2n ** 63n)],
    ['descriptor offset beyond reason', u64(28, 4096)],
    ['descriptor offset beyond reason', u64(28, 2)],
    ['no embedded descriptor', u64(28, 0)],
    ['no embedded descriptor', u64(36, 0)],
    ['descriptor size beyond reason', u64(36, 2049)],
    ['descriptor size beyond reason', u64(36, 2n ** 60n)],
    ['grain table size beyond reason', u32(44, 0)],
    ['grain table size beyond reason', u32(44, 1024)],
    ['grain directory size beyond reason', u64(12, 2n ** 43n)],
    ['grain directory offset beyond reason', u64(56, 0)],
    ['compression beyond reason', u16(77, 2)],
  ])('%s is refused', async ([found, ...changes]) => {
    const inspection = await inspectWhole(as('VMDK'), changed(sound, 'little', ...changes));
    expect(inspection).toMatchObject({ reason: 'FORMAT_UNSAFE', found });
  });

  const extent = /^RW .*$/m;
  test.for<readonly [string, (descriptor: string) => string]>([
    ['create type', (text) => text.replace('monolithicSparse', 'monolithicFlat')],
    ['create type', (text) => text.replace('monolithicSparse', 'vmfs')],
    ['create type', (text) => text.replace('monolithicSparse', 'twoGbMaxExtentSparse')],
    ['unreadable descriptor', (text) => text.replace(/^createType.*$/m, '')],
    ['unreadable descriptor', (text) => `${text}createType="monolithicFlat"\n`],
    ['unreadable descriptor', (text) => `# createType="monolithicFlat"\n${text}`],
    ['unreadable descriptor', (text) => text.replace(/^parentCID.*$/m, '')],
    ['unreadable descriptor', (text) => `${text}RW\n100 FLAT "/etc/passwd" 0\n`],
    ['unreadable descriptor', (text) => `${text}RW 1 FLAT "a" 0 "b" 1 2\n`],
    ['unreadable descriptor', (text) => `${text}#x\rRW 1 FLAT "/etc/passwd" 0\n`],
    ['unreadable descriptor', (text) => `${text}ddb.x = "\u0007"\n`],
    ['unreadable descriptor', () => '# Disk DescriptorFile\n<html>\n'],
    ['parent disk', (text) => text.replace('ffffffff', '12345678')],
    ['parent disk', (text) => `${text}parentFileNameHint="/etc/passwd"\n`],
    ['parent disk', (text) => `# parentFileNameHint="/etc/passwd"\n${text}`],
    ['parent disk', (text) => `${text}ddb.uuid.parent="11111111-0000-0000-0000-000000000000"\n`],
    ['extents in other files', (text) => text.replace(extent, '')],
    ['extents in other files', (text) => text.replace(extent, '$&\nRW 10 SPARSE "b.vmdk"')],
    ['extents in other files', (text) => text.replace(extent, '$&\n  rdonly 10 flat "b" 0')],
    ['extent type', (text) => text.replace('SPARSE', 'FLAT')],
    ['extent type', (text) => text.replace('SPARSE', 'VMFS')],
    ['extent type', (text) => text.replace(extent, 'RW 10 ZERO')],
    ['extent type', (text) => text.replace('SPARSE', 'VMFSRDM')],
    ['extent path', (text) => text.replace(extent, 'RW 10 SPARSE "/etc/passwd"')],
    ['extent path', (text) => text.replace(extent, 'RW 10 SPARSE "nbd:localhost:10809"')],
    ['unreadable descriptor', (text) => text.padEnd(20 * 512, '\n')],
    ['extent path', (text) => text.replace(extent, 'RW 10 SPARSE "..\\disk.vmdk"')],
  ])('a descriptor with %s is refused: %s', async ([found, change]) => {
    const inspection = await inspectWhole(as('VMDK'), withDescriptor(sound, change));
    expect(inspection).toMatchObject({ reason: 'FORMAT_UNSAFE', found });
  });

  test('a descriptor as VMware writes it is sound', async () => {
    const vmware = withDescriptor(
      sound,
      () =>
        '# Disk DescriptorFile\r\nversion=1\r\nencoding="UTF-8"\r\nCID=fffffffe\r\n' +
        'parentCID=ffffffff\r\nisNativeSnapshot="no"\r\ncreateType="streamOptimized"\r\n\r\n' +
        '# Extent description\r\nRDONLY 1400 SPARSE "call-me-stream.vmdk"\r\n\r\n#DDB\r\n' +
        'ddb.comment = ""\r\nddb.longContentID = "0123"\r\nddb.uuid = "60 00 C2 9a"\r\n' +
        'ddb.uuid.parent="00000000-0000-0000-0000-000000000000"\r\n',
    );
    expect(await inspectWhole(as('VMDK'), vmware)).toMatchObject({ kind: 'sound' });
  });

  describe('with a footer', () => {
    const { header, whole } = hasQemu
      ? withVmdkFooter(folder.create('vmdk', 'subformat=streamOptimized'))
      : { header: Buffer.alloc(0), whole: Buffer.alloc(0) };
    const footerOffset = whole.length - 1024;

    test('is sound when whole, and undecided before', async () => {
      const growing = await inspectGrowing(as('VMDK'), whole);
      expect(growing.inspection).toEqual({ kind: 'sound', virtualSize: 700 * KiB });
      expect(growing.available).toBe(whole.length);
    });

    test('QEMU goes by the footer, which is why it is checked', () => {
      const larger = changed(whole, 'little', u64(footerOffset + 12, 16 * 2048));
      writeFileSync(join(folder.path, 'larger.vmdk'), larger);
      const told: unknown = JSON.parse(folder.run('info', '--output=json', 'larger.vmdk'));
      expect(told).toMatchObject({ 'virtual-size': 16 * MiB });
    });

    test('its absence is told as cut short', async () => {
      expect(await inspectWhole(as('VMDK'), header)).toMatchObject({
        reason: 'FORMAT_MISMATCH',
        found: 'cut short',
      });
    });

    test.for<Row>([
      ['footer that disagrees with the header', u32(4, 2)],
      ['footer that disagrees with the header', u64(12, 2n ** 40n)],
      ['footer that disagrees with the header', u64(20, 64)],
      ['footer that disagrees with the header', u64(28, 0)],
      ['footer that disagrees with the header', u64(36, 1)],
      ['footer that disagrees with the header', u16(77, 0)],
      ['grain directory offset beyond reason', u64(56, 0)],
      ['grain directory offset beyond reason', u64(56, 2n ** 30n)],
    ])('%s is refused', async ([found, change]) => {
      const forged = changed(whole, 'little', {
        ...change!,
        offset: footerOffset + change!.offset,
      });
      expect(await inspectWhole(as('VMDK'), forged)).toMatchObject({
        reason: 'FORMAT_UNSAFE',
        found,
      });
    });
  });

  test('COWD of old hosts is told by its name', async () => {
    const cowd = withBytes(Buffer.alloc(4096), 0, 'COWD\x01');
    expect(await inspectWhole(as('VMDK'), cowd)).toMatchObject({ found: 'cowd' });
  });
});
