import { afterAll, describe, expect, test } from 'vitest';
import { inspectImage } from '../../src/formats/inspect-image.ts';
import { hasProgram } from '../support/disk-images.ts';
import { changed, u8, u32, u64, type Change, type Row } from './changes.ts';
import { withBytes } from './forgeries.ts';
import { as, inspectGrowing, inspectWhole, PrefixSource } from './inspections.ts';
import { QemuFolder } from './qemu-images.ts';

const hasQemu = hasProgram('qemu-img', 'qemu-utils');
const folder = new QemuFolder();
afterAll(() => folder.remove());

const KiB = 1024;
const MiB = 1024 * KiB;

describe.runIf(hasQemu)('qcow2', () => {
  const sound = hasQemu ? folder.create('qcow2', '') : Buffer.alloc(0);
  const older = hasQemu ? folder.create('qcow2', 'compat=0.10') : Buffer.alloc(0);

  test.for<Row>([
    ['unknown version', u32(4, 4)],
    ['backing file', u64(8, 0x300), u32(16, 4)],
    ['backing file', u64(8, 2n ** 64n - 1n)],
    ['cluster size beyond reason', u32(20, 8)],
    ['cluster size beyond reason', u32(20, 22)],
    ['virtual size beyond reason', u64(24, 2n ** 53n)],
    ['virtual size beyond reason', u64(24, 2n ** 52n)],
    ['encryption method beyond reason', u32(32, 3)],
    ['L1 table size beyond reason', u32(36, 4 * MiB + 1)],
    ['L1 table offset beyond reason', u64(40, 0)],
    ['L1 table offset beyond reason', u64(40, 64 * KiB + 8)],
    ['L1 table offset beyond reason', u64(40, 2n ** 63n)],
    ['refcount table offset beyond reason', u64(48, 0)],
    ['refcount table offset beyond reason', u64(48, 64 * KiB + 1)],
    ['refcount table size beyond reason', u32(56, 0)],
    ['refcount table size beyond reason', u32(56, 129)],
    ['number of snapshots beyond reason', u32(60, 65_537)],
    ['snapshot table offset beyond reason', u32(60, 1), u64(64, 12)],
    ['corrupt', u64(72, 2)],
    ['external data file', u64(72, 4)],
    ['unknown incompatible features', u64(72, 32)],
    ['unknown incompatible features', u64(72, 2n ** 63n)],
    ['compression type beyond reason', u64(72, 8)],
    ['compression type beyond reason', u8(104, 1)],
    ['reference count width beyond reason', u32(96, 7)],
    ['header length beyond reason', u32(100, 72)],
    ['header length beyond reason', u32(100, 64 * KiB + 8)],
    ['header length beyond reason', u32(100, 113)],
    ['external data file', u32(112, 0x44415441)],
    ['header extension length beyond reason', u32(116, 64 * KiB)],
    ['header extension length beyond reason', u32(116, 0xffff_ffff)],
    ['number of header extensions beyond reason', ...manyExtensions()],
  ])('%s is refused', async ([found, ...changes]) => {
    const inspection = await inspectWhole(as('QCOW2'), changed(sound, 'big', ...changes));
    expect(inspection).toMatchObject({ reason: 'FORMAT_UNSAFE', found });
  });

  test.for<Row>([
    ['backing file', u64(8, 0x300), u32(16, 4)],
    ['external data file', u32(72, 0x44415441)],
    ['L1 table size beyond reason', u32(36, 0xffff_ffff)],
  ])('%s is refused in version 2 too', async ([found, ...changes]) => {
    const inspection = await inspectWhole(as('QCOW2'), changed(older, 'big', ...changes));
    expect(inspection).toMatchObject({ reason: 'FORMAT_UNSAFE', found });
  });

  test('it is refused by its first 512 bytes', async () => {
    const bytes = changed(sound, 'big', u64(72, 4));
    expect((await inspectGrowing(as('QCOW2'), bytes)).available).toBe(512);
  });

  test("a backing file's name cannot steer a terminal or fill the message", async () => {
    const name = `\u001b]0;\n"${'x'.repeat(900)}`;
    const backed = changed(sound, 'big', u64(8, 0x300), u32(16, name.length));
    expect(await inspectWhole(as('QCOW2'), withBytes(backed, 0x300, name))).toMatchObject({
      found: 'backing file',
      message: expect.stringMatching(/"\\u001b\]0;\\n\\"x{58}…"/),
    });
  });

  test('what is sound stays so: dirty, with snapshots and unknown extensions', async () => {
    const dirty = changed(sound, 'big', u64(72, 1), u32(112, 0x1234_5678), u64(80, 2n ** 40n));
    expect(await inspectWhole(as('QCOW2'), dirty)).toMatchObject({ kind: 'sound' });
    folder.create('qcow2', '');
    folder.run('snapshot', '-c', 'one', 'created.qcow2');
    folder.run('bitmap', '--add', 'created.qcow2', 'bits');
    const bytes = folder.read('created.qcow2');
    expect(await inspectWhole(as('QCOW2'), bytes)).toMatchObject({ kind: 'sound' });
  });

  test('extensions far apart are read in few and small pieces', async () => {
    const large = folder.create('qcow2', 'cluster_size=2M');
    const gap = 32 * KiB;
    const extensions = Array.from({ length: 60 }, (_, index) => [
      u32(112 + index * gap, 0x1234_5678),
      u32(116 + index * gap, gap - 8),
    ]).flat();
    const source = new PrefixSource(changed(large, 'big', ...extensions));
    expect(await inspectImage(as('QCOW2'), source)).toMatchObject({ kind: 'sound' });
    expect(source.reads).toBeLessThanOrEqual(64);
    expect(source.readBytes).toBeLessThanOrEqual(64 * 4 * KiB);
  });

  function manyExtensions(): Change[] {
    return Array.from({ length: 70 }, (_, index) => [
      u32(112 + index * 8, 0x1234_5678),
      u32(116 + index * 8, 0),
    ]).flat();
  }
});
