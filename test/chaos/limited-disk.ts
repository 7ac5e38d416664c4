import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, mkdirSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Mounts a file system in memory that holds so many MiB on a folder, which is made. */
export function mountDisk(path: string, sizeMiB: number): void {
  mkdirSync(path, { recursive: true });
  mount(['-t', 'tmpfs', '-o', `size=${sizeMiB}m,mode=0750`, 'tmpfs', path]);
}

/** Shows the files of one folder in another place as well, which is made. */
export function bindFolder(source: string, path: string): void {
  mkdirSync(path, { recursive: true });
  mount(['--bind', source, path]);
}

/** Unmounts what is mounted there, even while files of it are open. Answers whether something was. */
export function unmount(path: string): boolean {
  return spawnSync('umount', ['--lazy', path], { stdio: 'pipe' }).status === 0;
}

/** Whether file systems can be mounted; says aloud if not. */
export function canMount(): boolean {
  const probe = mkdtempSync(join(tmpdir(), 'darkroom-mount-'));
  try {
    mountDisk(probe, 1);
    unmount(probe);
    return true;
  } catch (error) {
    console.warn(
      'NOT TESTED: a full disk and a folder that is gone. Nothing can be mounted:',
      error,
    );
    return false;
  } finally {
    rmdirSync(probe);
  }
}

function mount(args: readonly string[]): void {
  execFileSync('mount', args, { stdio: 'pipe' });
}
