import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { BaselineServer } from '../baseline-server.ts';
import { baseline } from '../measurements.ts';
import { startPostgres } from '../stage/postgres.ts';
import { startScript } from '../stage/script.ts';
import { startService } from '../stage/service.ts';
import type { Stage } from '../stage/stage.ts';
import { createUpload, imageClient } from './images.ts';

/** A server that takes uploads, and how to prepare and clean up there. */
export interface UploadTarget {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** Undefined where there is none. */
  readonly postgresPid: number | undefined;
  /** Makes tasks that wait for their bytes. */
  prepare(count: number): Promise<readonly string[]>;
  /** Removes the bytes that were uploaded. */
  clear(): Promise<void>;
}

/** The service. */
export async function darkroomTarget(
  stage: Stage,
  profileFolder: string | undefined,
): Promise<UploadTarget> {
  const postgres = await startPostgres(stage);
  const service = await startService(stage, { databaseUrl: postgres.url, profileFolder });
  const images = imageClient(service.url);
  const made: string[] = [];
  return {
    name: 'Darkroom',
    url: service.url,
    pid: service.pid,
    postgresPid: postgres.pid,
    async prepare(count) {
      const taskIds: string[] = [];
      for (let i = 0; i < count; i += 1) {
        const { imageId, taskId } = await createUpload(images);
        made.push(imageId);
        taskIds.push(taskId);
      }
      return taskIds;
    },
    async clear() {
      for (const imageId of made.splice(0)) {
        await images.deleteImage({ imageId });
      }
    },
  };
}

/** The plain server that it is compared with. */
export async function baselineTarget(stage: Stage): Promise<UploadTarget> {
  const server = startScript<BaselineServer>(
    stage,
    new URL('../baseline-server.ts', import.meta.url),
  );
  const folder = join(stage.folder, 'baseline');
  await mkdir(folder);
  const url = await server.ask('listen', { folder });
  return {
    name: baseline,
    url,
    pid: server.pid,
    postgresPid: undefined,
    prepare: (count) => Promise.resolve(Array.from({ length: count }, (_, i) => `upload-${i}`)),
    async clear() {
      for (const name of await readdir(folder)) {
        await rm(join(folder, name));
      }
    },
  };
}
