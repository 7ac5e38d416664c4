import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { BaselineServer } from '../baseline-server.ts';
import { baseline } from '../measurements.ts';
import { startPostgres } from '../stage/postgres.ts';
import { startScript } from '../stage/script.ts';
import { startService } from '../stage/service.ts';
import { keepTrackOf, type Stage } from '../stage/stage.ts';
import { createUpload, imageClient } from './images.ts';
import { sha256OfFile, sha256OfUrl } from './kept-bytes.ts';

const run = promisify(execFile);

/** A server that takes uploads, and how to prepare and clean up there. */
export interface UploadTarget {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** Undefined where there is none. */
  readonly postgresPid: number | undefined;
  /** Makes tasks that wait for their bytes. */
  prepare(count: number): Promise<readonly string[]>;
  /** The sha256 of what is kept of a task's upload, read again. */
  kept(taskId: string): Promise<string>;
  /** Removes the bytes that were uploaded. */
  clear(): Promise<void>;
}

/** The service. @param env settings beyond those of a benchmark. */
export async function darkroomTarget(
  stage: Stage,
  profileFolder: string | undefined,
  env: Readonly<Record<string, string>> = {},
): Promise<UploadTarget> {
  const postgres = await startPostgres(stage);
  const service = await startService(stage, { databaseUrl: postgres.url, profileFolder, env });
  const images = imageClient(service.url);
  const imageIds = new Map<string, string>();
  return {
    name: 'Darkroom',
    url: service.url,
    pid: service.pid,
    postgresPid: postgres.pid,
    async prepare(count) {
      const taskIds: string[] = [];
      for (let i = 0; i < count; i += 1) {
        const { imageId, taskId } = await createUpload(images);
        imageIds.set(taskId, imageId);
        taskIds.push(taskId);
      }
      return taskIds;
    },
    kept: (taskId) => sha256OfUrl(`${service.url}/v2/images/${imageIds.get(taskId) ?? ''}/file`),
    async clear() {
      for (const imageId of imageIds.values()) {
        await images.deleteImage({ imageId });
      }
      imageIds.clear();
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
  return { name: baseline, url, pid: server.pid, ...keptInFolder(folder) };
}

/** A plain server of Python on gRPC's C core; undefined where Python has no gRPC. */
export async function cCoreTarget(stage: Stage): Promise<UploadTarget | undefined> {
  const python = await pythonWithGrpc();
  if (python === undefined) {
    return undefined;
  }
  const folder = join(stage.folder, 'c-core');
  await mkdir(folder);
  const child = spawn(python, [server, descriptors, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  keepTrackOf(child);
  const exited = once(child, 'exit');
  stage.defer(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  const [port] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    exited.then(() => Promise.reject(new Error('the server in Python has ended'))),
  ])) as [string];
  const url = `http://127.0.0.1:${port}`;
  return { name: 'Python on the C core', url, pid: child.pid ?? 0, ...keptInFolder(folder) };
}

const server = fileURLToPath(new URL('../peers/c-core-server.py', import.meta.url));
/** The descriptors of the contract, for programs in other languages. */
export const descriptors = fileURLToPath(new URL('../../gen/descriptors.binpb', import.meta.url));

/** A Python that has gRPC, if there is one. The Python of the system comes second: another one is often before it in the path, and has not its packages. */
export async function pythonWithGrpc(): Promise<string | undefined> {
  for (const python of ['python3', '/usr/bin/python3']) {
    const found = await run(python, ['-c', 'import grpc, google.protobuf']).catch(() => undefined);
    if (found) {
      return python;
    }
  }
  return undefined;
}

/** A server that keeps each upload in a file that is named as its task, and wants no task beforehand. */
function keptInFolder(
  folder: string,
): Pick<UploadTarget, 'postgresPid' | 'prepare' | 'kept' | 'clear'> {
  return {
    postgresPid: undefined,
    prepare: (count) => Promise.resolve(Array.from({ length: count }, (_, i) => `upload-${i}`)),
    kept: (taskId) => sha256OfFile(join(folder, taskId)),
    async clear() {
      for (const name of await readdir(folder)) {
        await rm(join(folder, name));
      }
    },
  };
}
