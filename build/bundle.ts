import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, isAbsolute, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown, type Plugin } from 'rolldown';
import {
  bundleFolder,
  bundleRecord,
  currentBundle,
  type BundleRecord,
} from '../src/runtime/bundle.ts';

/** The checkout. */
const root = fileURLToPath(new URL('..', import.meta.url));
const ownSources = join(root, 'src') + sep;

/** Each build has a folder of its own, beside what else is built. */
const buildPrefix = 'build-';

/** What `src/main.mjs` runs. */
const entries = ['service-process', 'member-process'];

/** Packages that find a library of machine code beside themselves. */
export const unbundled = ['@node-rs/crc32', 'koffi'];

/**
 * Our own code finds other files (worker threads, descriptors, PostgreSQL) from where its source is; so it does in the
 * bundle, which takes only the place of the modules that are imported.
 */
const inPlace: Plugin = {
  name: 'in-place',
  transform: {
    filter: { code: 'import.meta.url' },
    handler(code, id) {
      if (!id.startsWith(ownSources)) {
        return undefined;
      }
      const source = relative(join(bundleFolder, buildPrefix), id).split(sep).join('/');
      const url = `new URL(${JSON.stringify(source)}, import.meta.url).href`;
      // No line changes its place, so the map may stay.
      return { code: code.replaceAll('import.meta.url', url), map: null };
    },
  },
};

/** As `bundle`, unless the bundle is current already; services run from their sources where those are just being changed. */
export async function bundleIfStale(): Promise<void> {
  if (currentBundle() !== undefined) {
    return;
  }
  try {
    await bundle();
  } catch (error) {
    if (!(error instanceof SourcesChangedError)) {
      throw error;
    }
    console.warn(error.message);
  }
}

/** Another build that runs now, or a process that still reads an earlier one, is left in peace for so long, in ms. */
const leftInPeaceMs = 3_600_000;

/**
 * Puts the service, with the packages that it uses, into a few files. The build before is replaced in one step; a process
 * that runs on it may go on to read it.
 *
 * @throws SourcesChangedError; what rolldown and the file system throw.
 */
export async function bundle(): Promise<void> {
  await mkdir(bundleFolder, { recursive: true });
  const begunMs = Date.now();
  const folder = join(bundleFolder, `${buildPrefix}${randomUUID()}`);
  await mkdir(folder);
  try {
    await record(folder, begunMs, await write(folder));
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  await removeOldBuilds();
}

/** Thrown when a source was changed while it was being bundled. */
export class SourcesChangedError extends Error {}

/** Answers the paths of the modules that went into it. */
async function write(folder: string): Promise<readonly string[]> {
  const build = await rolldown({
    cwd: root,
    platform: 'node',
    input: Object.fromEntries(entries.map((name) => [name, `src/${name}.ts`])),
    external: unbundled,
    plugins: [inPlace],
  });
  try {
    const { output } = await build.write({ dir: folder, format: 'esm', sourcemap: true });
    return output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
  } finally {
    await build.close();
  }
}

async function record(folder: string, begunMs: number, modules: readonly string[]): Promise<void> {
  const inputs = await inputsOf(modules, begunMs);
  const text = JSON.stringify({ folder: basename(folder), inputs } satisfies BundleRecord);
  await writeFile(join(folder, bundleRecord), text);
  await rename(join(folder, bundleRecord), join(bundleFolder, bundleRecord));
}

/**
 * The files that went into a bundle, as they are.
 *
 * @throws SourcesChangedError where one was changed since the bundling began
 */
export async function inputsOf(
  modules: readonly string[],
  begunMs: number,
): Promise<BundleRecord['inputs']> {
  // rolldown's own have names that are no paths.
  const files = modules.filter((id) => isAbsolute(id));
  const inputs: BundleRecord['inputs'][number][] = [];
  for (const file of files) {
    const { size, mtimeMs } = await stat(file);
    if (mtimeMs >= begunMs) {
      throw new SourcesChangedError(`${file} was changed while it was being bundled; build again`);
    }
    inputs.push([relative(root, file), size, mtimeMs]);
  }
  return inputs;
}

async function removeOldBuilds(): Promise<void> {
  const current = currentBundle();
  for (const entry of await readdir(bundleFolder, { withFileTypes: true })) {
    const path = join(bundleFolder, entry.name);
    if (!entry.name.startsWith(buildPrefix) || path === current) {
      continue;
    }
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > leftInPeaceMs) {
      await rm(path, { recursive: true, force: true });
    }
  }
}
