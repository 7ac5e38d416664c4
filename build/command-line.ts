import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { replaceFolder } from './build-folder.ts';
import { inputsOf, unbundled } from './bundle.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Says in dist/cli what it was built of: each file, relative to the checkout, with its size in bytes and last change in ms. */
const record = 'inputs.json';

/**
 * Builds the command `darkroom`: JavaScript for any Node from 20 on, with the packages that it uses, as it is to start fast.
 * What it imports only when it is needed stays apart.
 */
export async function buildCommandLine(): Promise<void> {
  const begunMs = Date.now();
  await replaceFolder('cli', async (folder) => {
    const build = await rolldown({
      cwd: root,
      platform: 'node',
      input: { darkroom: 'src/cli/darkroom.ts' },
      external: unbundled,
      transform: { target: 'node20' },
    });
    try {
      const { output } = await build.write({ dir: folder, format: 'esm', sourcemap: true });
      const modules = output.flatMap((file) => (file.type === 'chunk' ? file.moduleIds : []));
      await writeFile(join(folder, record), JSON.stringify(await inputsOf(modules, begunMs)));
    } finally {
      await build.close();
    }
  });
}
