import { randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';

/** The checkout. */
const root = fileURLToPath(new URL('..', import.meta.url));

/** Below this, in bytes, a file is not worth to be compressed. */
const leastPacked = 512;

/** Files whose bytes are compressed already. */
const isPacked = /\.(?:woff2|png|jpg|webp)$/;

/** What the record of a build of files for browsers says. */
export interface PublishedRecord {
  /** Of the last build, in the folder of its kind. */
  readonly folder: string;
  /** Its files, relative to that folder; some lie beside themselves compressed, as `.br` and `.gz`. */
  readonly files: readonly string[];
  /** Each file that it was made of, relative to the checkout, with its size in bytes and its last change in ms. */
  readonly inputs: readonly (readonly [path: string, size: number, mtimeMs: number])[];
}

/**
 * Writes files that browsers are given, each compressed beforehand as well. The build before is replaced in one step, by the
 * record, and then removed.
 *
 * @param folder of this kind of files, below `dist`.
 * @param recordName the name of the record in it.
 * @param inputs the files of the checkout that went into it, by their paths there.
 * @throws what the file system throws.
 */
export async function publishFolder(
  folder: string,
  recordName: string,
  files: ReadonlyMap<string, string | Uint8Array>,
  inputs: readonly string[],
): Promise<void> {
  const built = join(folder, `build-${randomUUID()}`);
  await mkdir(built, { recursive: true });
  try {
    await Promise.all([...files].map(([path, bytes]) => write(join(built, path), bytes)));
    const record: PublishedRecord = {
      folder: relative(folder, built),
      files: [...files.keys()],
      inputs: await Promise.all(inputs.map(inputOf)),
    };
    const draft = join(built, recordName);
    await writeFile(draft, JSON.stringify(record));
    await rename(draft, join(folder, recordName));
  } catch (error) {
    await rm(built, { recursive: true, force: true });
    throw error;
  }
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory() && join(folder, entry.name) !== built) {
      await rm(join(folder, entry.name), { recursive: true, force: true });
    }
  }
}

/** Whether the last build is of the files as they are. */
export async function isPublished(folder: string, recordName: string): Promise<boolean> {
  try {
    const text = await readFile(join(folder, recordName), 'utf8');
    const record = JSON.parse(text) as PublishedRecord;
    const built = await stat(join(folder, record.folder));
    const same = record.inputs.map(async ([path, size, mtimeMs]) => {
      const file = await stat(join(root, path));
      return file.size === size && file.mtimeMs === mtimeMs;
    });
    return built.isDirectory() && (await Promise.all(same)).every(Boolean);
  } catch {
    return false;
  }
}

async function write(path: string, bytes: string | Uint8Array): Promise<void> {
  const plain = Buffer.from(bytes);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, plain);
  if (plain.length < leastPacked || isPacked.test(path)) {
    return;
  }
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
    [constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
  };
  await writeFile(`${path}.br`, await promisify(brotliCompress)(plain, { params }));
  await writeFile(`${path}.gz`, await promisify(gzip)(plain, { level: 9 }));
}

async function inputOf(path: string): Promise<PublishedRecord['inputs'][number]> {
  const { size, mtimeMs } = await stat(join(root, path));
  return [path, size, mtimeMs];
}
