import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { roomyFolder } from '../../src/database/embedded-postgres/throwaway.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    /** For what the workers of a run make once together; see `made-once.ts`. */
    sharedFolder: string;
  }
}

/** Makes the folder that the workers of a run share. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const path = await mkdtemp(join(await roomyFolder(), 'darkroom-shared-'));
  project.provide('sharedFolder', path);
  return () => rm(path, { recursive: true, force: true });
}
