import { randomUUID } from 'node:crypto';
import { mkdir, open, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Settings } from '../../config/settings.ts';
import { bytesText, percentText } from '../output/amounts.ts';
import { broken, doubtful, well, type Finding } from './finding.ts';

const MiB = 1024 * 1024;
const lowBytes = 10 * 1024 * MiB;
const tooLowBytes = 512 * MiB;
const slowMs = 500;

/** Whether a service that is started here has somewhere to write to, enough of it, and fast enough. */
export async function lookAtStorage({ dataDir }: Settings): Promise<readonly Finding[]> {
  const folder = resolve(dataDir);
  const isThere = await exists(folder);
  // Where it is not there yet, the service makes it: what counts is where.
  let nearest = folder;
  while (!(await exists(nearest)) && dirname(nearest) !== nearest) {
    nearest = dirname(nearest);
  }
  const findings: Finding[] = [];
  try {
    const ms = await writeDurably(nearest);
    const found = `${folder}${isThere ? '' : ', which is made at the first start'}; ${bytesText(MiB)} made durable in ${ms} ms`;
    findings.push(
      ms > slowMs
        ? doubtful(
            'storage',
            found,
            'The disk is slow or busy: uploads are made durable twice a second.',
          )
        : well('storage', found),
    );
  } catch (error) {
    const message = (error as Error).message;
    findings.push(
      broken(
        'storage',
        `${nearest} cannot be written to: ${message}`,
        'Give another folder by DARKROOM_DATA_DIR, or its owner the right to write.',
      ),
    );
  }
  const { bavail, blocks, bsize, ffree, files } = await statfs(nearest);
  const free = bavail * bsize;
  const found = `${bytesText(free)} free, ${percentText(free, blocks * bsize)} of the disk`;
  const remedy = 'Delete images, make room on the disk, or give a larger one by DARKROOM_DATA_DIR.';
  findings.push(
    free < tooLowBytes
      ? broken('free space', found, remedy)
      : free < lowBytes
        ? doubtful('free space', found, remedy)
        : well('free space', found),
  );
  if (files > 0 && ffree < 10_000) {
    findings.push(
      doubtful(
        'free space',
        `only ${ffree} more files can be made`,
        'The file system has no room for more files (inodes): remove some.',
      ),
    );
  }
  return findings;
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch {
    return false;
  }
}

/** @returns how long a MiB took to be durable, in ms */
async function writeDurably(folder: string): Promise<number> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, `.darkroom-doctor-${randomUUID()}`);
  const file = await open(path, 'wx', 0o600);
  try {
    const began = performance.now();
    await file.write(Buffer.alloc(MiB, 'x'));
    await file.datasync();
    return Math.round(performance.now() - began);
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
}
