import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { defaultCaller } from '../../src/domain/caller.ts';
import { newId, type ImageId, type ProcessId, type TaskId } from '../../src/domain/ids.ts';
import { Image } from '../../src/images/image.ts';
import { BlobReaper } from '../../src/storage/blob-reaper.ts';
import type { BlobStore } from '../../src/storage/blob-store.ts';
import { FileBlobStore } from '../../src/storage/file-blob-store.ts';
import { databaseTime } from '../../src/database/database-time.ts';
import { openTask } from '../../src/tasks/open-task.ts';
import { TaskLedger } from '../../src/tasks/task-ledger.ts';
import { Task } from '../../src/tasks/task.ts';
import { ParkedDigests } from '../../src/uploads/blob-digest.ts';
import { DigestPool } from '../../src/uploads/digest-pool.ts';
import type { UploadFrame } from '../../src/uploads/upload-frame.ts';
import type { UploadLimits } from '../../src/uploads/upload-parts.ts';
import { UploadRepair } from '../../src/uploads/upload-repair.ts';
import { UploadService, type UploadConnection } from '../../src/uploads/upload-service.ts';

const KiB = 1024;

/** Limits that make small tests meet every rule. */
export const testLimits: UploadLimits = {
  maxChunkBytes: 256 * KiB,
  maxImageBytes: 64 * 1024 * KiB,
  maxUploads: 100,
  maxUploadsPerProject: 100,
  streamIdleTimeoutMs: 60_000,
  minUploadRate: 0,
  commitBytes: 256 * KiB,
  commitIntervalMs: 20,
};

/** One service process, without its network: everything from frames to files and rows. */
export interface UploadWorld {
  readonly database: Database;
  readonly ledger: TaskLedger;
  readonly store: BlobStore;
  readonly uploads: UploadService;
  readonly repair: UploadRepair;
  readonly folder: string;
  readonly processId: ProcessId;
  /** Tells the sessions that a task changed, as the feed would. */
  tellChange(taskId: TaskId): void;
}

/** Opens a world on a database, and closes it when the test is finished. */
export async function openUploadWorld(
  database: Database,
  options: {
    readonly limits?: Partial<UploadLimits>;
    readonly folder?: string;
    readonly wrapStore?: (store: BlobStore) => BlobStore;
  } = {},
): Promise<UploadWorld> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'darkroom-blobs-')));
  const files = await FileBlobStore.open(folder);
  const store = options.wrapStore?.(files) ?? files;
  const pool = new DigestPool(1);
  const ledger = new TaskLedger(database);
  const logger = pino({ level: 'silent' });
  const processId = newId<ProcessId>();
  // Nobody beats for it, so it is said to be alive for long.
  await database.pool.query(
    `insert into processes (id, host, pid, heartbeat_time) values ($1, 'test', 1, now() + interval '1 day')`,
    [processId],
  );
  const subscribers = new Map<TaskId, Set<() => void>>();
  const uploads = new UploadService({
    database,
    ledger,
    store,
    digests: new ParkedDigests(pool),
    changes: {
      subscribe(taskId, onChange) {
        const own = subscribers.get(taskId) ?? new Set();
        subscribers.set(taskId, own.add(onChange));
        return () => void own.delete(onChange);
      },
    },
    processId,
    limits: { ...testLimits, ...options.limits },
    logger,
  });
  const reaper = new BlobReaper(database, store, logger);
  onTestFinished(async () => {
    await uploads.drain();
    await pool.close();
    if (!options.folder) {
      await rm(folder, { recursive: true, force: true });
    }
  });
  return {
    database,
    ledger,
    store,
    uploads,
    repair: new UploadRepair({
      database,
      ledger,
      store,
      uploads,
      reaper,
      processId,
      failedBytesRetentionMs: 60_000,
      logger,
    }),
    folder,
    processId,
    tellChange: (taskId) => subscribers.get(taskId)?.forEach((onChange) => onChange()),
  };
}

/** A QUEUED image with a PENDING upload task. */
export async function queueImage(
  database: Database,
  stated: {
    readonly size?: number;
    readonly sha256?: string;
    readonly idleTimeoutMs?: number;
  } = {},
): Promise<{ imageId: ImageId; taskId: TaskId }> {
  return database.fork().transactional(async (em) => {
    const now = await databaseTime(em);
    const image = em.create(Image, {
      id: newId<ImageId>(),
      projectId: defaultCaller.projectId,
      createdBy: 'test',
      name: 'test',
      diskFormat: 'RAW',
      containerFormat: 'BARE',
      state: 'QUEUED',
      outlook: 'EXPECTED',
      minDiskBytes: 0,
      minRamBytes: 0,
      properties: {},
      tags: [],
      visibility: 'PRIVATE',
      version: 1,
      createTime: now,
      updateTime: now,
    });
    em.persist(image);
    const task = openTask(em, image, defaultCaller, now, {
      type: 'UPLOAD',
      requestId: null,
      labels: {},
      expectedSize: stated.size ?? null,
      expectedSha256: stated.sha256 ?? null,
      idleTimeoutMs: stated.idleTimeoutMs ?? 60_000,
      cause: 'test',
    });
    return { imageId: image.id, taskId: task.id };
  });
}

/** Reads a task as it is. */
export async function readTask(database: Database, id: TaskId): Promise<Task> {
  return database.fork().findOneOrFail(Task, { id });
}

/** Reads an image as it is. */
export async function readImage(database: Database, id: ImageId): Promise<Image> {
  return database.fork().findOneOrFail(Image, { id });
}

/** A connection that never breaks of itself. */
export function connection(signal = new AbortController().signal): UploadConnection {
  let bytes = 0;
  return { peer: 'test at 127.0.0.1', signal, bytesReceived: () => (bytes += 1) };
}

/** Frames that come one after the other, and then end. */
export async function* framesOf(...frames: UploadFrame[]): AsyncGenerator<UploadFrame, void> {
  for (const frame of frames) {
    await Promise.resolve();
    yield frame;
  }
}

/** A header frame. */
export function header(taskId: string, writerEpoch?: number): UploadFrame {
  return { kind: 'header', taskId, writerEpoch };
}

/** A chunk frame with a copy of the bytes, as one from the network would be. */
export function chunk(offset: number, data: Uint8Array, crc32c?: number): UploadFrame {
  return { kind: 'chunk', offset, data: new Uint8Array(data), crc32c };
}

/** A finish frame. */
export function finish(totalSize: number, sha256?: string): UploadFrame {
  return { kind: 'finish', totalSize, sha256 };
}
