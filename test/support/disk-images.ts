import { execFileSync, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const MiB = 1024 * 1024;

/** Whether a program of a Debian package is there; says aloud if it is not. */
export function hasProgram(program: string, debianPackage: string): boolean {
  const found = spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
  if (!found) {
    console.warn(`${program} is missing (Debian package ${debianPackage}): its tests are skipped`);
  }
  return found;
}

/** Whether a module of a Debian Python is there; says aloud if it is not. */
export function hasPythonModule(python: string, name: string, debianPackage: string): boolean {
  const found = spawnSync(python, ['-c', `import ${name}`]).status === 0;
  if (!found) {
    console.warn(
      `${python} has no module ${name} (Debian package ${debianPackage}): its tests are skipped`,
    );
  }
  return found;
}

/** A bootable ISO that Debian's grub-rescue-pc brings. */
export const rescueIso = '/usr/lib/grub-rescue/grub-rescue-cdrom.iso';

/** Whether the ISO is there; says aloud if it is not. */
export function hasRescueIso(): boolean {
  const found = existsSync(rescueIso);
  if (!found) {
    console.warn(`${rescueIso} is missing (Debian package grub-rescue-pc): its tests are skipped`);
  }
  return found;
}

/** A disk image in a file. */
export interface DiskImageFile {
  readonly path: string;
  readonly format: 'RAW' | 'QCOW2' | 'ISO';
  readonly bytes: Buffer;
  readonly sha256: string;
  /** Removes the file, if it was made for the test. */
  remove(): Promise<void>;
}

/** A raw disk of 32 MiB by qemu-img: some data, and mostly holes. */
export async function makeRawImage(): Promise<DiskImageFile> {
  const path = join(await mkdtemp(join(tmpdir(), 'darkroom-image-')), 'disk.raw');
  execFileSync('qemu-img', ['create', '-q', '-f', 'raw', path, '32M']);
  const file = await open(path, 'r+');
  await file.write(randomBytes(MiB), 0, MiB, 0);
  await file.write(randomBytes(3 * MiB), 0, 3 * MiB, 9 * MiB + 12_345);
  await file.write(randomBytes(4096), 0, 4096, 32 * MiB - 4096);
  await file.close();
  return describe(path, 'RAW');
}

/** The raw disk as qcow2, made by qemu-img. */
export async function makeQcow2Image(): Promise<DiskImageFile> {
  const raw = await makeRawImage();
  const path = raw.path.replace(/raw$/, 'qcow2');
  execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw.path, path]);
  return describe(path, 'QCOW2');
}

/** The rescue ISO. */
export function readRescueIso(): Promise<DiskImageFile> {
  return describe(rescueIso, 'ISO');
}

async function describe(path: string, format: DiskImageFile['format']): Promise<DiskImageFile> {
  const bytes = await readFile(path);
  return {
    path,
    format,
    bytes,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    async remove() {
      if (path !== rescueIso) {
        await rm(dirname(path), { recursive: true, force: true });
      }
    },
  };
}
