import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inject } from 'vitest';
import { isAlive } from './processes.ts';

/**
 * A folder that is made once a run, by the worker that first asks for it; the others wait. It must not be changed.
 *
 * @param fill puts into the folder what is to be in it. What it throws comes to its caller; the next worker tries again.
 */
export async function madeOnce(
  name: string,
  fill: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = join(inject('sharedFolder'), name);
  const maker = `${folder}.maker`;
  while (!existsSync(folder)) {
    if (!(await become(maker))) {
      await sleep(20);
      continue;
    }
    const draft = `${folder}.draft`;
    try {
      // Between the look and the claim another may have done it.
      if (!existsSync(folder)) {
        await mkdir(draft);
        await fill(draft);
        await rename(draft, folder);
      }
    } finally {
      await rm(draft, { recursive: true, force: true });
      await rm(maker);
    }
  }
  return folder;
}

/** Whether this process is the maker now. One that has died is none. */
async function become(maker: string): Promise<boolean> {
  try {
    await writeFile(maker, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) {
      throw error;
    }
    const pid = Number(await readFile(maker, 'utf8').catch(() => ''));
    // Of one that has just begun the number is not yet there to be read.
    if (pid > 0 && !(await isAlive(pid))) {
      throw new Error(`the worker ${pid} has died while it made ${maker}`, { cause: error });
    }
    return false;
  }
}
