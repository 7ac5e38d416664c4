import { execFileSync } from 'node:child_process';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_ContainerFormat, Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { guessFormat, worthLooking } from '../../src/console/uploads/guess-format.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { hasProgram, hasRescueIso, rescueIso } from '../support/disk-images.ts';

const { QCOW2, RAW, VMDK, VDI, VHD, VHDX, ISO, UNSPECIFIED } = Image_DiskFormat;

async function beginningOf(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(worthLooking) });
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

describe('by its name', () => {
  test.for([
    ['debian-13.qcow2', QCOW2, 'debian-13', false],
    ['fedora.RAW.xz', RAW, 'fedora', true],
    ['disk.img.gz', RAW, 'disk', true],
    ['a.b.vhdx', VHDX, 'a.b', false],
    ['no ending', UNSPECIFIED, 'no ending', false],
    ['odd.constructor', UNSPECIFIED, 'odd.constructor', false],
    ['', UNSPECIFIED, '', false],
  ] as const)('“%s” is guessed', ([fileName, diskFormat, name, isCompressed]) => {
    expect(guessFormat(fileName)).toMatchObject({ diskFormat, name, isCompressed });
  });

  test('an appliance is one', () => {
    expect(guessFormat('machine.ova').containerFormat).toBe(Image_ContainerFormat.OVA);
  });
});

describe('by its first bytes', () => {
  let folder: string;
  beforeAll(async () => {
    const cleanUps = new CleanUps();
    folder = await mkdtemp(join(tmpdir(), 'darkroom-guess-'));
    cleanUps.defer(() => rm(folder, { recursive: true, force: true }));
    return cleanUps.run;
  });

  test.skipIf(!hasProgram('qemu-img', 'qemu-utils')).for([
    ['qcow2', QCOW2],
    ['vmdk', VMDK],
    ['vdi', VDI],
    ['vpc', VHD],
    ['vhdx', VHDX],
  ] as const)('an image of qemu-img as %s is known under another name', async ([format, known]) => {
    const path = join(folder, 'disk');
    execFileSync('qemu-img', ['create', '-q', '-f', format, path, '16M']);
    expect(guessFormat('disk.raw', await beginningOf(path)).diskFormat).toBe(known);
  });

  test.skipIf(!hasRescueIso())('a disc is known', async () => {
    expect(guessFormat('x', await beginningOf(rescueIso)).diskFormat).toBe(ISO);
  });

  test.for([
    ['gzip', gzipSync],
    ['zstd', zstdCompressSync],
  ] as const)('what %s has packed is to be unpacked', async ([, pack]) => {
    const path = join(folder, 'packed');
    await writeFile(path, pack(Buffer.alloc(100_000, 'disk')));
    expect(guessFormat('disk.qcow2', await beginningOf(path))).toMatchObject({
      isCompressed: true,
      diskFormat: QCOW2,
    });
  });

  test('what has no signature is raw, whatever its name does not say', () => {
    const bytes = new Uint8Array(1000);
    expect(guessFormat('disk', bytes).diskFormat).toBe(RAW);
    expect(guessFormat('disk.gz', bytes)).toMatchObject({ isCompressed: false, diskFormat: RAW });
    expect(guessFormat('empty', new Uint8Array(0)).diskFormat).toBe(RAW);
  });
});
