import { execFile } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { rolldown } from 'rolldown';
import { replaceFolder } from './build-folder.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The oldest Node that the library runs on, and browsers of about its age. */
const target = ['node20', 'chrome116', 'firefox124', 'safari17.4'];

/** What programs import, by platform: the names are those of the files in dist/client. */
const entries = {
  node: { node: 'src/client/node.ts', 'grpc-js': 'src/client/grpc-js-transport.ts' },
  browser: { browser: 'src/client/browser.ts' },
} as const;

/** Builds `darkroom/client`: JavaScript with its types. Packages are not taken in: a program has one of each. */
export async function buildClient(): Promise<void> {
  await replaceFolder('client', async (folder) => {
    for (const [platform, input] of Object.entries(entries)) {
      const build = await rolldown({
        cwd: root,
        platform: platform as keyof typeof entries,
        input,
        external: /^[^./]/,
        transform: { target },
      });
      try {
        const chunkFileNames = `${platform}-[name]-[hash].js`;
        await build.write({ dir: folder, format: 'esm', sourcemap: true, chunkFileNames });
      } finally {
        await build.close();
      }
    }
    await writeTypes(join(folder, 'types'));
  });
}

async function writeTypes(folder: string): Promise<void> {
  const tsc = join(root, 'node_modules/.bin/tsc');
  const project = join(root, 'build/client-types.json');
  await promisify(execFile)(tsc, ['-p', project, '--declarationDir', folder]);
  for (const name of await readdir(folder, { recursive: true })) {
    if (name.endsWith('.d.ts')) {
      const text = await readFile(join(folder, name), 'utf8');
      // Sources name each other as Node finds them; a program finds only what is built.
      await writeFile(join(folder, name), text.replaceAll(/(from '\.[^']*)\.ts'/g, "$1.js'"));
    }
  }
}
