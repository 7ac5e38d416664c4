import { readFile } from 'node:fs/promises';
import { expect } from 'vitest';
import { Image_DiskFormat } from '../../gen/darkroom/v1/image_pb.ts';
import { downloadBytes, uploadFrames, type RunningService } from './running-service.ts';

const MiB = 1024 * 1024;

/** What no answer may tell: PostgreSQL's and MikroORM's own words. */
export const databaseWords =
  /syntax|violates|constraint|relation "|column|invalid byte|driver|mikro|select |insert |sqlstate/i;

/** Holds that a service still does its work, and that no call failed in a way that none should. */
export async function expectSound(service: RunningService): Promise<void> {
  const bytes = Buffer.alloc(2 * MiB, 'still sound');
  const { image, task } = await service.images.createImage({
    image: { name: 'still sound', diskFormat: Image_DiskFormat.RAW },
    source: { case: 'upload', value: {} },
  });
  await service.images.uploadImage(uploadFrames(bytes, { taskId: task!.id }));
  expect((await downloadBytes(service.images, image!.id)).bytes.equals(bytes)).toBe(true);

  const defects = service.process.log.filter(
    ({ level, code }) => Number(level) >= 50 || code === 'INTERNAL' || code === 'UNKNOWN',
  );
  expect(defects).toEqual([]);
}

/** The most memory that a process ever had, in bytes. */
export async function peakMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
}
