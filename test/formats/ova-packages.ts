import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A file of an archive: its name and its bytes. */
export type PackedFile = readonly [name: string, content: Uint8Array | string];

/** What a descriptor says; attributes as they are written. */
export interface OvfParts {
  readonly files?: readonly Readonly<Record<string, string | number>>[];
  readonly disks?: readonly Readonly<Record<string, string | number>>[];
  /** Before the envelope, such as a DTD. */
  readonly prolog?: string;
  /** Inside the envelope, after the disks. */
  readonly more?: string;
  readonly namespace?: string;
}

/** A descriptor as VirtualBox and ovftool write it. */
export function ovf({
  files = [],
  disks = [],
  prolog = '',
  more = '',
  namespace,
}: OvfParts): string {
  const element = (name: string, attributes: Readonly<Record<string, string | number>>): string =>
    `<${name} ${Object.entries(attributes)
      .map(([key, value]) => `ovf:${key}="${value}"`)
      .join(' ')}/>`;
  const uri = namespace ?? 'http://schemas.dmtf.org/ovf/envelope/1';
  return `<?xml version="1.0" encoding="UTF-8"?>
${prolog}<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="${uri}" xmlns:ovf="${uri}"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
  <References>
    ${files.map((file) => element('File', file)).join('\n    ')}
  </References>
  <DiskSection>
    <Info>Disks &amp; more</Info>
    ${disks.map((disk) => element('Disk', disk)).join('\n    ')}
  </DiskSection>
  ${more}
  <VirtualSystem ovf:id="vm"><Info>A machine</Info><Name>vm</Name></VirtualSystem>
</Envelope>
`;
}

/** A descriptor of one disk in the file `disk.vmdk`. */
export function ovfOfDisk(
  disk: Readonly<Record<string, string | number>> = {},
  file: Readonly<Record<string, string | number>> = {},
  more: OvfParts = {},
): string {
  return ovf({
    files: [{ id: 'file1', href: 'disk.vmdk', ...file }],
    disks: [{ diskId: 'vmdisk1', fileRef: 'file1', ...disk }],
    ...more,
  });
}

/** A manifest of the files. */
export function manifestOf(
  files: readonly PackedFile[],
  algorithm: 'sha1' | 'sha256' | 'sha512' = 'sha256',
): string {
  return files
    .map(([name, content]) => {
      const digest = createHash(algorithm).update(content).digest('hex');
      return `${algorithm.toUpperCase()}(${name})= ${digest}\n`;
    })
    .join('');
}

/** Packs files in their order by the program tar; `options` come before the names. */
export function packed(files: readonly PackedFile[], options = ['--format=ustar']): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'darkroom-ova-'));
  try {
    for (const [name, content] of files) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), content);
    }
    return runTar(folder, [...options, '-cf', '-', ...files.map(([name]) => name)]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs tar in a folder; answers what it writes. */
export function runTar(folder: string, args: readonly string[]): Buffer {
  const { status, stdout, stderr } = spawnSync('tar', args, { cwd: folder, maxBuffer: 1 << 30 });
  if (status !== 0) {
    throw new Error(`tar ${args.join(' ')}: ${stderr.toString()}`);
  }
  return stdout;
}

/** What is said in a forged header. */
export interface ForgedHeader {
  readonly type?: string;
  /** What the header says, if it is not the length of the content. */
  readonly size?: number | bigint;
  readonly linkName?: string;
  readonly prefix?: string;
}

/** An entry that no program would write, with its content. */
export function tarEntry(
  name: string,
  content: Uint8Array | string = '',
  { type = '0', size, linkName = '', prefix = '' }: ForgedHeader = {},
): Buffer {
  const bytes = Buffer.from(content);
  const header = Buffer.alloc(512);
  header.write(name, 0, 100, 'utf8');
  header.write('0000644\0' + '0000000\0' + '0000000\0', 100);
  const said = BigInt(size ?? bytes.length);
  if (said < 8n ** 11n) {
    header.write(`${said.toString(8).padStart(11, '0')}\0`, 124);
  } else {
    header[124] = 0x80;
    header.writeBigUInt64BE(said, 128);
  }
  header.write('00000000000\0', 136);
  header.write(type, 156, 'latin1');
  header.write(linkName, 157);
  header.write('ustar\x0000', 257);
  header.write(prefix, 345);
  return Buffer.concat([sealed(header), padded(bytes)]);
}

/** The two blocks of zeros that end an archive. */
export const tarEnd = Buffer.alloc(1024);

/** A header with its checksum. */
export function sealed(header: Uint8Array): Buffer {
  const copy = Buffer.from(header);
  copy.write('        ', 148);
  const sum = copy.reduce((sum, byte) => sum + byte, 0);
  copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return copy;
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}
