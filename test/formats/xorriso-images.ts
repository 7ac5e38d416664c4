import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** An ISO that xorriso made, by the options with which it was made. */
export interface XorrisoImage {
  readonly name: string;
  readonly bytes: Buffer;
}

const efi = ['-append_partition', '2', '0xef', 'efi.img'];

/** The ways in which an ISO gets a partition table; GRUB's and Debian's ISOs are made with one or more of them. */
const hybrids: Readonly<Record<string, readonly string[]>> = {
  'with an MBR that covers all': ['--protective-msdos-label'],
  'with a partition that begins after a gap': [
    '--protective-msdos-label',
    '-partition_offset',
    '16',
  ],
  'with a partition appended, by MBR': efi,
  'with a partition appended, by GPT': [...efi, '-appended_part_as_gpt'],
  'with an Apple partition map': ['-hfsplus'],
};

/** A folder in which xorriso makes ISOs; removed by `remove`. */
export class XorrisoFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'darkroom-isos-'));

  constructor() {
    mkdirSync(join(this.path, 'tree'));
    writeFileSync(join(this.path, 'tree', 'hello'), 'hello\n');
    writeFileSync(join(this.path, 'efi.img'), Buffer.alloc(64 * 1024));
  }

  /** An ISO without a partition table. */
  pure(): Buffer {
    return this.#make([]);
  }

  /** An ISO with each kind of partition table. */
  hybrids(): XorrisoImage[] {
    return Object.entries(hybrids).map(([name, options]) => ({ name, bytes: this.#make(options) }));
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  #make(options: readonly string[]): Buffer {
    const args = ['-as', 'mkisofs', '-quiet', '-o', 'made.iso', ...options, 'tree'];
    execFileSync('xorriso', args, { cwd: this.path, stdio: 'ignore' });
    const bytes = readFileSync(join(this.path, 'made.iso'));
    rmSync(join(this.path, 'made.iso'));
    return bytes;
  }
}
