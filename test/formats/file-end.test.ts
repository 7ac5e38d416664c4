import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { inspectFileEnd } from '../../src/formats/file-end.ts';
import { maxInspectedBytes } from '../../src/formats/inspect-image.ts';
import type { DiskFormat } from '../../src/records/image.ts';
import { hasProgram } from '../support/disk-images.ts';
import { withField } from './forgeries.ts';
import { as, PrefixSource } from './inspections.ts';
import { QemuFolder } from './qemu-images.ts';

const hasQemu = hasProgram('qemu-img', 'qemu-utils');
const folder = new QemuFolder();
afterAll(() => folder.remove());
const images = hasQemu ? await folder.makeAll() : [];
const MiB = 1024 * 1024;

/** Why an image is refused that ends after so many bytes; undefined if it is not. */
async function refusalOf(diskFormat: DiskFormat, bytes: Uint8Array, length = bytes.byteLength) {
  const source = new PrefixSource(bytes, length);
  const refused = await inspectFileEnd(as(diskFormat), source);
  expect(source.readBytes).toBeLessThanOrEqual(maxInspectedBytes);
  return refused;
}

/** Whether qemu-img finds that an image has lost something; it takes what is missing in a last cluster for zeros. */
function isCorrupt(format: string, bytes: Uint8Array): boolean {
  const path = join(folder.path, `cut.${format}`);
  writeFileSync(path, bytes);
  const { status } = spawnSync('qemu-img', ['check', '-f', format, path]);
  // 3 is leaked clusters only.
  return status !== 0 && status !== 3;
}

describe.runIf(hasQemu)('the end of an image by qemu-img', () => {
  test.for(images)('$name is not missed', async ({ diskFormat, bytes }) => {
    expect(await refusalOf(diskFormat, bytes)).toBeUndefined();
  });

  test.for(images.filter(({ name }) => /^qcow2 (?:with clusters|compressed)/.test(name)))(
    '$name is missed wherever qemu-img misses it',
    async ({ diskFormat, bytes }) => {
      let refusals = 0;
      for (let part = 1; part < 24; part += 1) {
        const length = Math.floor((bytes.length * part) / 24);
        const refused = await refusalOf(diskFormat, bytes, length);
        if (refused) {
          refusals += 1;
          expect(refused).toMatchObject({ reason: 'FORMAT_MISMATCH', found: 'cut short' });
        } else {
          expect([length, isCorrupt('qcow2', bytes.subarray(0, length))]).toEqual([length, false]);
        }
      }
      expect(refusals).toBeGreaterThan(10);
    },
  );

  test.for(['', 'static=on'])('a vdi %s is missed but for its last block', async (options) => {
    writeFileSync(join(folder.path, 'five.raw'), randomBytes(5 * MiB));
    const more = options === '' ? [] : ['-o', options];
    folder.run('convert', '-f', 'raw', '-O', 'vdi', ...more, 'five.raw', 'five.vdi');
    const bytes = folder.read('five.vdi');
    expect(await refusalOf('VDI', bytes)).toBeUndefined();
    for (const length of [bytes.length - MiB, 3 * MiB, MiB]) {
      expect(await refusalOf('VDI', bytes, length)).toMatchObject({ found: 'cut short' });
    }
  });

  test('a qcow2 that a guest wrote here and there is not missed, and is where it is cut off', async () => {
    const path = join(folder.path, 'written.qcow2');
    folder.run('create', '-q', '-f', 'qcow2', 'written.qcow2', '8G');
    const writes = [5000, 100, 7000, 3, 2048, 6500, 1].flatMap((at, index) => [
      '-c',
      `write -q -P ${index + 1} ${at}M 300k`,
    ]);
    expect(spawnSync('qemu-io', ['-f', 'qcow2', ...writes, path]).status).toBe(0);
    const bytes = folder.read('written.qcow2');

    expect(await refusalOf('QCOW2', bytes)).toBeUndefined();
    for (let length = 200_000; length < bytes.length - 65_536; length += 65_536) {
      expect(isCorrupt('qcow2', bytes.subarray(0, length))).toBe(true);
      expect(await refusalOf('QCOW2', bytes, length)).toMatchObject({ found: 'cut short' });
    }
  });

  test('of a large one only as many tables are read as an inspection may', async () => {
    const options = ['-o', 'preallocation=metadata'];
    folder.run('create', '-q', '-f', 'qcow2', ...options, 'large.qcow2', '64G');
    await using file = await open(join(folder.path, 'large.qcow2'));
    const { size } = await file.stat();
    let readBytes = 0;
    const read = async (position: number, length: number): Promise<Uint8Array> => {
      readBytes += length;
      return (await file.read({ buffer: Buffer.alloc(length), position })).buffer;
    };
    const refusalAt = (available: number) =>
      inspectFileEnd(as('QCOW2'), { available, isWhole: true, read });

    expect(await refusalAt(size)).toBeUndefined();
    expect(await refusalAt(size - MiB)).toMatchObject({ found: 'cut short' });
    expect(readBytes).toBeLessThanOrEqual(2 * maxInspectedBytes);
  });
});

test.runIf(hasQemu)('tables that lead beyond all reason are a refusal and no failure', async () => {
  const { bytes } = images.find(({ name }) => name === 'qcow2 with clusters of 65536')!;
  const l1 = Number(bytes.readBigUInt64BE(40));
  const field = { offset: l1, bits: 64, byteOrder: 'big' } as const;
  for (const value of [0xffff_ffff_ffff_ffffn, 0x00ff_ffff_ffff_fe00n, BigInt(bytes.length)]) {
    expect(await refusalOf('QCOW2', withField(bytes, { ...field, value }))).toMatchObject({
      found: 'cut short',
    });
  }
});

test('other formats and containers are not looked at', async () => {
  const source = new PrefixSource(new Uint8Array(10));
  expect(await inspectFileEnd(as('RAW'), source)).toBeUndefined();
  expect(await inspectFileEnd(as('QCOW2', 'OVA'), source)).toBeUndefined();
});
