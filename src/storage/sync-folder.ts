import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/** Makes the names in a folder durable: fsync of a file does not do that (fsync(2), notes). */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
