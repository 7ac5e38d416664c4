import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DiskFormat } from '../../src/records/image.ts';
import { madeOnce } from '../support/made-once.ts';

/** What is made: a name for the test, qemu-img's format, and its options. */
interface Recipe {
  readonly name: string;
  readonly format: string;
  readonly options?: string;
  /** Converts a disk with data instead of creating an empty one. */
  readonly converts?: readonly string[];
  readonly size?: number;
}

/** An image that qemu-img made, and what qemu-img says about it. */
export interface QemuImage {
  readonly name: string;
  readonly diskFormat: DiskFormat;
  readonly bytes: Buffer;
  /** The name under which it is found when it is declared as something else. */
  readonly found: string;
  readonly virtualSize: number;
  readonly hasBackingFile: boolean;
}

const KiB = 1024;
const diskBytes = 700 * KiB;

const diskFormats: Readonly<Record<string, DiskFormat>> = {
  raw: 'RAW',
  qcow2: 'QCOW2',
  vmdk: 'VMDK',
  vpc: 'VHD',
  vhdx: 'VHDX',
  vdi: 'VDI',
  parallels: 'PLOOP',
};

const clusterSizes = [512, 1024, 4096, 65_536, 2_097_152];
const recipes: readonly Recipe[] = [
  { name: 'raw', format: 'raw' },
  { name: 'raw with data', format: 'raw', converts: [] },
  { name: 'raw of an odd size', format: 'raw', size: 333_333 },
  { name: 'raw of one byte', format: 'raw', size: 1 },
  { name: 'qcow2 0.10', format: 'qcow2', options: 'compat=0.10' },
  { name: 'qcow2 1.1', format: 'qcow2', options: 'compat=1.1' },
  { name: 'qcow2 of no bytes', format: 'qcow2', size: 0 },
  { name: 'qcow2 of 5 TB', format: 'qcow2', size: 5e12 },
  ...clusterSizes.map((bytes) => ({
    name: `qcow2 with clusters of ${bytes}`,
    format: 'qcow2',
    options: `cluster_size=${bytes}`,
    converts: [],
  })),
  { name: 'qcow2 with metadata', format: 'qcow2', options: 'preallocation=metadata' },
  { name: 'qcow2 allocated', format: 'qcow2', options: 'preallocation=full' },
  { name: 'qcow2 with lazy refcounts', format: 'qcow2', options: 'lazy_refcounts=on' },
  { name: 'qcow2 with 64 refcount bits', format: 'qcow2', options: 'refcount_bits=64' },
  { name: 'qcow2 with extended L2', format: 'qcow2', options: 'extended_l2=on' },
  { name: 'qcow2 compressed', format: 'qcow2', converts: ['-c'] },
  {
    name: 'qcow2 compressed by zstd',
    format: 'qcow2',
    options: 'compression_type=zstd',
    converts: ['-c'],
  },
  {
    name: 'qcow2 encrypted',
    format: 'qcow2',
    options:
      'encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10,encrypt.hash-alg=sha512',
  },
  { name: 'vmdk', format: 'vmdk' },
  { name: 'vmdk with data', format: 'vmdk', converts: [] },
  { name: 'vmdk of an odd size', format: 'vmdk', size: 333_333 },
  { name: 'vmdk of version 6', format: 'vmdk', options: 'compat6=on' },
  { name: 'vmdk for scsi', format: 'vmdk', options: 'adapter_type=lsilogic' },
  { name: 'vmdk stream', format: 'vmdk', options: 'subformat=streamOptimized', converts: [] },
  { name: 'vhd dynamic', format: 'vpc', converts: [] },
  { name: 'vhd dynamic, exact', format: 'vpc', options: 'force_size=on' },
  { name: 'vhd dynamic of 100 GiB', format: 'vpc', size: 100 * KiB ** 3 },
  { name: 'vhd fixed', format: 'vpc', options: 'subformat=fixed', converts: [] },
  { name: 'vhd fixed, exact', format: 'vpc', options: 'subformat=fixed,force_size=on' },
  { name: 'vhdx', format: 'vhdx', options: 'block_size=1M', converts: [] },
  { name: 'vhdx fixed', format: 'vhdx', options: 'subformat=fixed,block_size=1M' },
  { name: 'vhdx with large blocks', format: 'vhdx', options: 'block_size=256M' },
  { name: 'vdi', format: 'vdi', converts: [] },
  { name: 'vdi of an odd size', format: 'vdi', size: 333_333 },
  { name: 'vdi static', format: 'vdi', options: 'static=on', converts: [] },
  { name: 'ploop', format: 'parallels', converts: [] },
];

/** A folder in which qemu-img makes images; removed by `remove`. */
export class QemuFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'darkroom-formats-'));

  constructor() {
    const data = Buffer.concat([randomBytes(300 * KiB), Buffer.alloc(diskBytes - 300 * KiB)]);
    // The first sector is empty: what a disk begins with is for other tests.
    writeFileSync(join(this.path, 'data.raw'), data.fill(0, 0, 512));
  }

  run(...options: string[]): string {
    // For LUKS qemu-img measures the processor, which at times fails on a busy machine.
    for (let attempt = 1; ; attempt++) {
      const { status, stdout, stderr } = spawnSync('qemu-img', options, {
        cwd: this.path,
        encoding: 'utf8',
      });
      if (status === 0) {
        return stdout;
      }
      if (attempt === 10 || !stderr.includes('CPU usage')) {
        throw new Error(`qemu-img ${options.join(' ')}: ${stderr}`);
      }
    }
  }

  read(file: string): Buffer {
    return readFileSync(join(this.path, file));
  }

  /** Creates an image and reads it. */
  create(format: string, options: string, ...more: string[]): Buffer {
    const file = `created.${format}`;
    rmSync(join(this.path, file), { force: true });
    this.run('create', '-q', '-f', format, ...optionsOf(options), ...more, file, `${diskBytes}`);
    return this.read(file);
  }

  /** Every format and kind that is sound. */
  async makeAll(): Promise<QemuImage[]> {
    const made = await madeOnce('qemu-images', async (target) => {
      const { status, stderr } = spawnSync('sh', ['-e', '-c', commandsFor(target)], {
        cwd: this.path,
        encoding: 'utf8',
      });
      if (status !== 0) {
        throw new Error(`qemu-img: ${stderr}`);
      }
      await Promise.resolve();
    });
    return recipes.map(({ name, format }, index) => {
      const path = join(made, `${index}.${format}`);
      const info: unknown = JSON.parse(readFileSync(`${path}.json`, 'utf8'));
      const told = info as { 'virtual-size': number; 'backing-filename'?: string; format: string };
      const diskFormat = diskFormats[told.format]!;
      return {
        name,
        diskFormat,
        bytes: readFileSync(path),
        found: foundNames[diskFormat] ?? told.format,
        virtualSize: told['virtual-size'],
        hasBackingFile: told['backing-filename'] !== undefined,
      };
    });
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/**
 * Has qemu-img make all images, and write beside each what it says of it. In one shell, since to start a program from a
 * worker with all its memory takes 60 ms of CPU.
 */
function commandsFor(target: string): string {
  const commands = recipes.flatMap((recipe, index) => {
    const { format, options = '', converts, size = diskBytes } = recipe;
    const file = join(target, `${index}.${format}`);
    const shape = [...optionsOf(options), ...(options.includes('luks') ? key : [])];
    const make =
      converts === undefined
        ? ['create', '-q', '-f', format, ...shape, file, `${size}`]
        : ['convert', ...converts, '-f', 'raw', '-O', format, ...shape, 'data.raw', file];
    const tell = ['info', '-f', format, '--output=json', file];
    return [`made ${quoted(make)}`, `qemu-img ${quoted(tell)} >'${file}.json'`];
  });
  return [...retrying, ...commands].join('\n');
}

/** For LUKS qemu-img measures the processor, which at times fails on a busy machine. */
const retrying = [
  'made() { for attempt in 1 2 3 4 5 6 7 8 9 10; do',
  '  if said=$(qemu-img "$@" 2>&1); then return 0; fi',
  '  case $said in *"CPU usage"*) ;; *) break ;; esac',
  'done; echo "$said" >&2; return 1; }',
];

function quoted(words: readonly string[]): string {
  return words.map((word) => `'${word}'`).join(' ');
}

const key = ['--object', 'secret,id=key,data=hush'];
const foundNames: Partial<Record<DiskFormat, string>> = { VHD: 'vhd', RAW: 'nothing known' };

function optionsOf(options: string): string[] {
  return options === '' ? [] : ['-o', options];
}
