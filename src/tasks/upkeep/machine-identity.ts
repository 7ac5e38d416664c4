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

/**
 * Whether a process of this machine runs. One of another user's does; one that has ended and was not
 * waited for (a zombie, usual in containers without an init) does not.
 */
export async function isProcessAlive(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The state follows the command, which is in parentheses and may itself hold any character (proc(5)).
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return true;
  }
}
