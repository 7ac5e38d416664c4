import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { lockDataFolder } from '../../src/database/data-folder-lock.ts';
import { roomyFolder } from '../../src/database/embedded-postgres/throwaway.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** What the workers of a run make once together (`made-once.ts`), and what single tests throw away. */
    sharedFolder: string;
  }
}

/** Makes the folder that the workers of a run share. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // By its name and its lock the next run knows it for one to clear away, should this one be killed.
  const path = await mkdtemp(join(await roomyFolder(), 'darkroom-throwaway-'));
  const lock = await lockDataFolder(path);
  // Services that run as another user have their folders in it.
  await chmod(path, 0o711);
  project.provide('sharedFolder', path);
  return async () => {
    lock.release();
    await rm(path, { recursive: true, force: true });
  };
}
