import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeSite } from '../site/site.ts';
import { docsFolder } from '../src/server/docs/docs-routes.ts';
import { buildStatic, isStaticCurrent, root } from './static-build.ts';

/** As `buildDocs`, unless the last build is of the sources as they are. */
export async function buildDocsIfStale(): Promise<void> {
  if (!(await isStaticCurrent(docsFolder))) {
    await buildDocs();
  }
}

/**
 * Makes the documentation's site.
 *
 * @throws what `makeSite` and the file system throw.
 */
export async function buildDocs(): Promise<void> {
  const { files, inputs } = await makeSite();
  await buildStatic(docsFolder, async (folder) => {
    for (const [path, bytes] of files) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), bytes);
    }
    return inputs.map((input) => join(root, input));
  });
}
