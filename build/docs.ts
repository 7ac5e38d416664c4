import { fileURLToPath } from 'node:url';
import { makeSite } from '../site/site.ts';
import { isPublished, publishFolder } from './published-folder.ts';

/** Where `npm run build` puts the documentation's site. */
const docsFolder = fileURLToPath(new URL('../dist/docs/', import.meta.url));

/** Says in that folder which build is the last one, and what is in it. */
const docsRecord = 'docs.json';

/** As `buildDocs`, unless the last build is of the sources as they are. */
export async function buildDocsIfStale(): Promise<void> {
  if (!(await isPublished(docsFolder, docsRecord))) {
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
  await publishFolder(docsFolder, docsRecord, files, inputs);
}
