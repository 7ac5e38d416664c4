import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { ConnectError } from '@connectrpc/connect';
import { Image_ContainerFormat, Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import type { Random } from '../../chaos/random.ts';
import type { Answer } from '../answer.ts';
import { imagesAs } from '../images-client.ts';
import { mutated } from '../mutation.ts';
import type { FuzzCase, FuzzTarget } from '../target.ts';

const KiB = 1024;

/** An image that is sound, or begins like one. */
interface Sound {
  readonly format: Image_DiskFormat;
  readonly bytes: Buffer;
}

const qemuFormats = [
  ['qcow2', Image_DiskFormat.QCOW2, ''],
  ['vmdk', Image_DiskFormat.VMDK, 'subformat=monolithicSparse'],
  ['vmdk', Image_DiskFormat.VMDK, 'subformat=streamOptimized'],
  ['vdi', Image_DiskFormat.VDI, ''],
  ['vhdx', Image_DiskFormat.VHDX, 'block_size=1M,log_size=1M'],
  ['vpc', Image_DiskFormat.VHD, ''],
] as const;

/** Images as qemu-img makes them, where it is there, and the first bytes of others. */
export function soundImages(folder: string): readonly Sound[] {
  const made = qemuFormats.flatMap(([name, format, options], n): Sound[] => {
    const path = join(folder, `image-${n}`);
    const args = [
      'create',
      '-q',
      '-f',
      name,
      ...(options === '' ? [] : ['-o', options]),
      path,
      '1M',
    ];
    return spawnSync('qemu-img', args).status === 0
      ? [{ format, bytes: readFileSync(path).subarray(0, 512 * KiB) }]
      : [];
  });
  const qcow2 = Buffer.alloc(200 * KiB);
  Buffer.from('514649fb00000003', 'hex').copy(qcow2);
  const iso = Buffer.alloc(40 * KiB);
  iso.write('\u0001CD001\u0001', 32 * KiB, 'latin1');
  const tar = Buffer.alloc(20 * KiB);
  tar.write('machine.ovf');
  tar.write('00000001750', 124);
  tar.write('ustar\u000000', 257);
  return [
    ...made,
    { format: Image_DiskFormat.QCOW2, bytes: qcow2 },
    { format: Image_DiskFormat.ISO, bytes: iso },
    { format: Image_DiskFormat.VMDK, bytes: tar },
    { format: Image_DiskFormat.RAW, bytes: Buffer.alloc(10 * KiB, 'raw') },
  ];
}

/** Images whose heads are wrong in a few bytes, declared as what they were made as or as something else. */
export function images(target: FuzzTarget, folder: string): FuzzCase {
  const client = imagesAs(target.url, target.authorization);
  const sound = soundImages(folder);
  return async (_, random) => {
    const { format, bytes } = random.pick(sound);
    const declared = random.chance(0.8) ? format : random.pick(Object.values(Image_DiskFormat));
    const { body, decompress } = altered(random, bytes);
    const what = `an image declared ${declared}${decompress ? ', compressed' : ''}`;
    try {
      const { task } = await client.createImage({
        image: {
          name: 'fuzz',
          diskFormat: declared,
          containerFormat: random.chance(0.8)
            ? Image_ContainerFormat.BARE
            : random.pick(Object.values(Image_ContainerFormat)),
        },
        source: { case: 'upload', value: { decompress } },
      });
      const taskId = task?.id ?? '';
      const { complete } = await client.uploadImage(frames(taskId, body));
      return told(what, complete ? '0' : 'closed', '');
    } catch (error) {
      const { code, rawMessage } = ConnectError.from(error);
      return told(what, String(code), rawMessage);
    }
  };
}

function told(what: string, outcome: string, text: string): Answer {
  return { what, outcome, text: text.slice(0, 300) };
}

/** The head is where formats are read; what it points at may lie anywhere. */
function altered(
  random: Random,
  bytes: Buffer,
): { readonly body: Buffer; readonly decompress: boolean } {
  const headEnd = Math.min(bytes.length, random.pick([64, 512, 4096, bytes.length]));
  const head = mutated(random, bytes.subarray(0, headEnd));
  const image = Buffer.concat([head, bytes.subarray(headEnd)]);
  if (random.chance(0.75)) {
    return { body: image, decompress: false };
  }
  const packed = random.chance(0.5) ? gzipSync(image, { level: 1 }) : zstdCompressSync(image);
  return { body: random.chance(0.7) ? mutated(random, packed) : packed, decompress: true };
}

async function* frames(taskId: string, bytes: Buffer) {
  yield { frame: { case: 'header', value: { taskId } } } as const;
  for (let at = 0; at < bytes.length; at += 256 * KiB) {
    const data = bytes.subarray(at, at + 256 * KiB);
    yield { frame: { case: 'chunk', value: { offset: BigInt(at), data } } } as const;
    await Promise.resolve();
  }
  yield { frame: { case: 'finish', value: { totalSize: BigInt(bytes.length) } } } as const;
}
