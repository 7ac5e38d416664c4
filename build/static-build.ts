import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { staticRecord, type StaticRecord } from '../src/server/http/static-files.ts';

/** The checkout. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/** Below this, in bytes, a file is not worth to be compressed. */
const leastPacked = 512;
/** What is compressed as it is. */
const packedAlready = /\.(?:woff2|png)$/;

/**
 * Builds a site for the service to serve: its files, each compressed beforehand as well, and a record of them. The build before
 * is replaced in one step.
 *
 * @param siteFolder of the site, in `dist`.
 * @param write puts the site into a folder; answers the paths of all files that it was made of.
 * @throws what `write` and the file system throw; then the build before stays.
 */
export async function buildStatic(
  siteFolder: string,
  write: (folder: string) => Promise<Iterable<string>>,
): Promise<void> {
  const folder = join(siteFolder, `build-${randomUUID()}`);
  await mkdir(folder, { recursive: true });
  try {
    const inputs = await Promise.all([...(await write(folder))].map(inputOf));
    const files = await pack(folder);
    const record: StaticRecord = { folder: relative(siteFolder, folder), files, inputs };
    const draft = join(folder, staticRecord);
    await writeFile(draft, JSON.stringify(record));
    await rename(draft, join(siteFolder, staticRecord));
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  // A service has its files in memory, and one that was just reading them reads those of the new build.
  for (const entry of await readdir(siteFolder, { withFileTypes: true })) {
    if (entry.isDirectory() && join(siteFolder, entry.name) !== folder) {
      await rm(join(siteFolder, entry.name), { recursive: true, force: true });
    }
  }
}

/** Whether the last build of a site is of its sources as they are. */
export async function isStaticCurrent(siteFolder: string): Promise<boolean> {
  try {
    const text = await readFile(join(siteFolder, staticRecord), 'utf8');
    const { folder, inputs } = JSON.parse(text) as StaticRecord;
    for (const [path, size, mtimeMs] of inputs) {
      const file = await stat(join(root, path));
      if (file.size !== size || file.mtimeMs !== mtimeMs) {
        return false;
      }
    }
    return (await stat(join(siteFolder, folder))).isDirectory();
  } catch {
    return false;
  }
}

/** Lays each file beside itself as browsers take it; answers the paths of them all. */
async function pack(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  for (const path of paths.filter((one) => !packedAlready.test(one))) {
    const bytes = await readFile(path);
    if (bytes.length >= leastPacked) {
      const params = {
        [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
        [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
      };
      await writeFile(`${path}.br`, await promisify(brotliCompress)(bytes, { params }));
      await writeFile(`${path}.gz`, await promisify(gzip)(bytes, { level: 9 }));
    }
  }
  return paths.map((path) => relative(folder, path));
}

async function inputOf(path: string): Promise<StaticRecord['inputs'][number]> {
  const { size, mtimeMs } = await stat(path);
  return [relative(root, path), size, mtimeMs];
}
