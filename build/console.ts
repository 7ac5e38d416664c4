import { join } from 'node:path';
import { build, type Plugin } from 'vite';
import { consoleFolder } from '../src/server/console/console-routes.ts';
import { buildStatic, isStaticCurrent, root } from './static-build.ts';

const sources = join(root, 'src/console');

/** As `buildConsole`, unless the last build is of the sources as they are. */
export async function buildConsoleIfStale(): Promise<void> {
  if (!(await isStaticCurrent(consoleFolder))) {
    await buildConsole();
  }
}

/**
 * Makes of the console what browsers are given: few files, named after their bytes.
 *
 * @throws what Vite and the file system throw.
 */
export function buildConsole(): Promise<void> {
  return buildStatic(consoleFolder, write);
}

/**
 * `darkroom:uploader` is the address of the worker that uploads. It is built together with the page, and not by itself as Vite's
 * workers are: nearly all that it needs the page has loaded already.
 */
const uploader: Plugin = {
  name: 'uploader',
  resolveId: (id) => (id === 'darkroom:uploader' ? `\0${id}` : undefined),
  load(id) {
    if (id !== '\0darkroom:uploader') {
      return undefined;
    }
    const chunk = { id: join(sources, 'uploads/uploader.ts'), name: 'uploader' };
    return `export default import.meta.ROLLUP_FILE_URL_${this.emitFile({ ...chunk, type: 'chunk' })};`;
  },
};

/** Answers the paths of the modules that went into it. */
async function write(folder: string): Promise<ReadonlySet<string>> {
  const modules = new Set([join(sources, 'index.html')]);
  const noted: Plugin = {
    name: 'noted',
    moduleParsed({ id }) {
      const path = id.replace(/\?.*$/, '');
      if (path.startsWith(root)) {
        modules.add(path);
      }
    },
  };
  await build({
    configFile: false,
    root: sources,
    base: '/',
    logLevel: 'warn',
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    plugins: [noted, uploader],
    build: {
      outDir: folder,
      emptyOutDir: true,
      assetsDir: 'console',
      // Nothing stands in the page itself: its policy would refuse it.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
      // What has `light-dark()` has all else that is used.
      target: ['chrome123', 'firefox120', 'safari17.5'],
      cssCodeSplit: false,
      reportCompressedSize: false,
    },
  });
  return modules;
}
