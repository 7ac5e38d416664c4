import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { download, readFaults, readImage } from '../support/upload-world.ts';
import { ended, openImportWorld, type ImportWorldOptions } from './import-world.ts';
import { startSource, type SourceHandler } from './source-server.ts';

/** Lower-case hex. */
export function sha256Of(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

/** Imports from a source that does what its handler likes, until the import has ended. */
export async function importFrom(
  database: Database,
  handler: SourceHandler,
  options: ImportWorldOptions & { readonly stated?: object; readonly diskFormat?: string } = {},
) {
  const world = await openImportWorld(database, options);
  const source = await startSource(handler);
  const { imageId, taskId } = await world.create(
    { from: { kind: 'url', url: `${source.origin}/disk` }, ...options.stated },
    { diskFormat: options.diskFormat ?? 'RAW' },
  );
  const task = await ended(database, taskId);
  const faults = await readFaults(database, taskId);
  return { world, source, task, imageId, faults, last: faults.at(-1) };
}

/** An import made its image, and of these bytes. */
export async function expectImage(
  { world, imageId, task, last }: Awaited<ReturnType<typeof importFrom>>,
  expected: Uint8Array,
): Promise<void> {
  expect({ state: task.state, last: last?.message }).toMatchObject({ state: 'SUCCEEDED' });
  expect(await readImage(world.database, imageId)).toMatchObject({
    state: 'ACTIVE',
    sizeBytes: expected.byteLength,
    sha256: sha256Of(expected),
  });
  expect((await download(world, imageId)).equals(expected)).toBe(true);
}
