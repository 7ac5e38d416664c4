import { open } from 'node:fs/promises';
import { compressionIn, signaturesIn } from '../../formats/signatures.ts';
import type { diskFormats } from '../choices.ts';

/** A word of the contract's disk formats. */
export type DiskFormatWord = (typeof diskFormats)[number];

/** What a source is taken for, unless the user says it. */
export interface SourceFormat {
  readonly diskFormat: DiskFormatWord | undefined;
  /** Whether what comes is to be unpacked. */
  readonly isPacked: boolean;
}

const byEnding: Readonly<Record<string, DiskFormatWord>> = {
  raw: 'raw',
  img: 'raw',
  bin: 'raw',
  qcow2: 'qcow2',
  qcow: 'qcow2',
  vmdk: 'vmdk',
  vdi: 'vdi',
  vhd: 'vhd',
  vpc: 'vhd',
  vhdx: 'vhdx',
  iso: 'iso',
};
const byHead = ['qcow2', 'vmdk', 'vdi', 'vhd', 'vhdx'] as const;
const packedEnding = /\.(gz|xz|zst|bz2)$/i;

/** What a name tells: `debian.qcow2.xz` is a qcow2 that is packed. */
export function formatByName(name: string): SourceFormat {
  const isPacked = packedEnding.test(name);
  const [, ending = ''] = /\.(\w+)$/.exec(name.replace(packedEnding, '')) ?? [];
  return { diskFormat: byEnding[ending.toLowerCase()], isPacked };
}

/** As much of a file as the signatures of formats may take up. */
const headBytes = 4096;

/** What a file is by its first bytes, which say more than its name: cloud images that are qcow2 are called .img. */
export async function formatOfFile(path: string): Promise<SourceFormat> {
  const byName = formatByName(path);
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    const head = buffer.subarray(0, bytesRead);
    if (compressionIn(head) !== undefined) {
      return { diskFormat: byName.diskFormat, isPacked: byName.isPacked };
    }
    const found: readonly string[] = signaturesIn(head);
    return {
      diskFormat: byHead.find((format) => found.includes(format)) ?? byName.diskFormat,
      isPacked: false,
    };
  } finally {
    await file.close();
  }
}

/** The name of an image whose source is called so: without folder and endings. */
export function nameOf(source: string): string {
  const base = source.split(/[/\\]/).at(-1) ?? '';
  const bare = base.replace(packedEnding, '');
  const ending = /\.(\w+)$/.exec(bare)?.[1]?.toLowerCase() ?? '';
  return (ending in byEnding ? bare.slice(0, -ending.length - 1) : bare).slice(0, 255);
}
