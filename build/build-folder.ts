import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleFolder } from '../src/runtime/bundle.ts';

/**
 * Fills a folder below dist/, in place of what was there: whoever looks finds the one or the other, but for a moment in
 * between, and never half of one.
 *
 * @throws what `fill` and the file system throw; then what was there stays
 */
export async function replaceFolder(
  name: string,
  fill: (folder: string) => Promise<void>,
): Promise<void> {
  await mkdir(bundleFolder, { recursive: true });
  const fresh = join(bundleFolder, `.${name}-${randomUUID()}`);
  const old = `${fresh}-old`;
  const place = join(bundleFolder, name);
  try {
    await mkdir(fresh);
    await fill(fresh);
    await rename(place, old).catch(ignoreAbsent);
    await rename(fresh, place);
  } finally {
    await rm(fresh, { recursive: true, force: true });
    await rm(old, { recursive: true, force: true });
  }
}

function ignoreAbsent(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) {
    throw error;
  }
}
