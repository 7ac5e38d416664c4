import type { Compression } from '../records/image.ts';
import { isTarHeader } from './tar.ts';
import { isVmdkDescriptorText } from './vmdk-descriptor.ts';

/** A format that shows itself in an image's first bytes. */
export type HeadFormat =
  | 'qcow'
  | 'qcow2'
  | 'qed'
  | 'vmdk'
  | 'cowd'
  | 'vhd'
  | 'vhdx'
  | 'vdi'
  | 'parallels'
  | 'bochs'
  | 'cloop'
  | Compression
  | 'tar';

const compressions: readonly Compression[] = ['gzip', 'xz', 'zstd', 'bzip2'];

/** Formats of one compressed file. */
export const compressedFormats: ReadonlySet<Compression> = new Set(compressions);

/** The formats whose signatures the image's first bytes carry: none, one, or more in bytes made to deceive. */
export function signaturesIn(head: Uint8Array): HeadFormat[] {
  // Latin-1 makes one character of each byte, so that signatures can be written as strings.
  const text = Buffer.from(head).toString('latin1');
  return signatures.filter(([, isIn]) => isIn(text, head)).map(([format]) => format);
}

/** What the bytes are compressed with; undefined for nothing that can be unpacked. */
export function compressionIn(head: Uint8Array): Compression | undefined {
  const found: readonly string[] = signaturesIn(head);
  return compressions.find((compression) => found.includes(compression));
}

/** Whether the first sector ends as a boot sector does, so that a raw disk is likely. */
export function isBootSector(head: Uint8Array): boolean {
  return head[510] === 0x55 && head[511] === 0xaa;
}

/**
 * What the magic numbers of QEMU's block drivers, RFC 1952, the .xz format, RFC 8878 and bzip2 are,
 * disks first: of bytes with several signatures the first is told.
 */
const signatures: readonly (readonly [HeadFormat, (text: string, head: Uint8Array) => boolean])[] =
  [
    ['qcow', startsWith('QFI\xfb\0\0\0\x01')],
    ['qcow2', (text) => text.startsWith('QFI\xfb') && !text.startsWith('\0\0\0\x01', 4)],
    ['qed', startsWith('QED\0')],
    ['vmdk', (text, head) => text.startsWith('KDMV') || isVmdkDescriptorText(head)],
    ['cowd', startsWith('COWD')],
    ['vhd', startsWith('conectix')],
    ['vhdx', startsWith('vhdxfile')],
    ['vdi', (text) => text.startsWith('\x7f\x10\xda\xbe', 64)],
    ['parallels', (text) => /^(?:WithoutFreeSpace|WithouFreSpacExt)/.test(text)],
    ['bochs', startsWith('Bochs Virtual HD Image')],
    ['cloop', startsWith('#!/bin/sh\n#V2.0 Format\n')],
    // Only the method deflate and no reserved flag.
    ['gzip', (text, head) => text.startsWith('\x1f\x8b\x08') && ((head[3] ?? 0xff) & 0xe0) === 0],
    ['xz', startsWith('\xfd7zXZ\0')],
    // A frame, or one of the skippable frames that parallel compressors put before it.
    [
      'zstd',
      (text) =>
        text.startsWith('\x28\xb5\x2f\xfd') ||
        (/^[P-_]$/.test(text.charAt(0)) && text.startsWith('*M\x18', 1)),
    ],
    // A block of data, or the end of an empty stream.
    [
      'bzip2',
      (text) => /^BZh[1-9]/.test(text) && ['1AY&SY', '\x17rE8P\x90'].includes(text.slice(4, 10)),
    ],
    ['tar', (_text, head) => isTarHeader(head)],
  ];

function startsWith(signature: string): (text: string) => boolean {
  return (text) => text.startsWith(signature);
}
