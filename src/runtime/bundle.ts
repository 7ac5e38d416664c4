import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout. */
const root = fileURLToPath(new URL('../..', import.meta.url));

/** Where `npm run build` puts the bundle. */
export const bundleFolder = join(root, 'dist');
/** Says in that folder which build is the last one, and what it was made of. */
export const bundleRecord = 'bundle.json';

/** What a bundle's record says. */
export interface BundleRecord {
  /** Of the last build, in the folder of bundles. */
  readonly folder: string;
  /** Each file that went into it, relative to the checkout, with its size in bytes and its last change in ms. */
  readonly inputs: readonly (readonly [path: string, size: number, mtimeMs: number])[];
}

/**
 * The folder of the bundle, if there is one and every file that went into it is still what it was then. Looking at 970
 * files takes 6 ms.
 */
export function currentBundle(): string | undefined {
  try {
    const record = JSON.parse(
      readFileSync(join(bundleFolder, bundleRecord), 'utf8'),
    ) as BundleRecord;
    const folder = join(bundleFolder, record.folder);
    return statSync(folder).isDirectory() && record.inputs.every(isUnchanged) ? folder : undefined;
  } catch {
    return undefined;
  }
}

function isUnchanged([path, size, mtimeMs]: BundleRecord['inputs'][number]): boolean {
  const file = statSync(join(root, path));
  return file.size === size && file.mtimeMs === mtimeMs;
}
