import { readFile, readlink } from 'node:fs/promises';

/**
 * Names the place in which pids mean the same: this boot of this machine, and in it this container.
 * Host names do not, for containers may share one. Empty where that cannot be known (not on Linux), so
 * that pids are not compared there.
 */
export async function machineIdentity(): Promise<string> {
  try {
    const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
    const pids = await readlink('/proc/self/ns/pid');
    return `${boot.trim()} ${pids}`;
  } catch {
    return '';
  }
}

/** Whether a process of this machine is there. One of another user's is. */
export function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
