import { copyFile, open, stat, truncate } from 'node:fs/promises';
import { hasCode } from './errors.ts';

const LOG_LIMIT_BYTES = 16 * 1024 * 1024;
const TAIL_BYTES = 2048;

/**
 * Moves a log that passed 16 MiB to `<log>.1`, replacing the one before, so that together they stay
 * near 32 MiB. It is emptied in place because the server keeps it open (for appending) and cannot be
 * told to open another; what is logged in the instant between copy and cut is lost.
 */
export async function keepLogShort(log: string): Promise<void> {
  if ((await sizeOf(log)) < LOG_LIMIT_BYTES) return;
  await copyFile(log, `${log}.1`);
  await truncate(log);
}

/** Size in bytes; 0 when there is no such file. */
export async function sizeOf(file: string): Promise<number> {
  return await stat(file).then(
    (entry) => entry.size,
    (error: unknown) => {
      if (hasCode(error, 'ENOENT')) return 0;
      throw error;
    },
  );
}

/** The last lines, at most 2 KiB, that were logged after `offset` bytes; for error messages. */
export async function logTail(log: string, offset: number): Promise<string> {
  const handle = await open(log, 'r');
  try {
    const { size } = await handle.stat();
    const start = Math.max(size < offset ? 0 : offset, size - TAIL_BYTES);
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(size - start),
      0,
      size - start,
      start,
    );
    return buffer.subarray(0, bytesRead).toString().trim();
  } finally {
    await handle.close();
  }
}
