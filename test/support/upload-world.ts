import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, inject, onTestFinished } from 'vitest';
import { databaseTime } from '../../src/database/database-time.ts';
import type { Database } from '../../src/database/database.ts';
import { defaultCaller } from '../../src/access/caller.ts';
import { DarkroomError } from '../../src/domain/darkroom-error.ts';
import { newId, type ImageId, type ProcessId, type TaskId } from '../../src/records/ids.ts';
import { downloadImage, type DownloadParts } from '../../src/images/download-image.ts';
import { DownloadPlaces } from '../../src/images/download-places.ts';
import { Image, type DiskFormat } from '../../src/records/image.ts';
import { BlobReaper } from '../../src/storage/blob-reaper.ts';
import type { BlobStore } from '../../src/storage/blob-store.ts';
import { FileBlobStore } from '../../src/storage/file-blob-store.ts';
import { Fault } from '../../src/records/fault.ts';
import { TrackedRows } from '../../src/tasks/ledger/ledger-rows.ts';
import { openTask } from '../../src/tasks/ledger/open-task.ts';
import { TaskLedger } from '../../src/tasks/ledger/task-ledger.ts';
import { Task } from '../../src/records/task.ts';
import { ParkedDigests } from '../../src/uploads/digest/blob-digest.ts';
import { DigestPool } from '../../src/uploads/digest/digest-pool.ts';
import type { UploadFrame } from '../../src/uploads/receiving/upload-frame.ts';
import type { UploadLimits } from '../../src/uploads/receiving/upload-parts.ts';
import type { ChangeFollower, TaskChanges } from '../../src/uploads/lease/task-changes.ts';
import { UploadRepair } from '../../src/uploads/repair/upload-repair.ts';
import {
  UploadService,
  type UploadConnection,
} from '../../src/uploads/receiving/upload-service.ts';
import { UnpackingLanes } from '../../src/uploads/unpacking/unpacking-lanes.ts';
import { CleanUps } from './clean-ups.ts';

const KiB = 1024;

/** Limits that make small tests meet every rule. */
export const testLimits: UploadLimits = {
  maxChunkBytes: 256 * KiB,
  maxImageBytes: 64 * 1024 * KiB,
  maxUnpackedBytes: 64 * 1024 * KiB,
  maxUnpackedRatio: 200,
  maxUploads: 1000,
  maxUploadsPerProject: 1000,
  streamIdleTimeoutMs: 60_000,
  minUploadRate: 0,
  commitBytes: 256 * KiB,
  commitIntervalMs: 20,
  formatCheck: 'refuse',
};

/** Of all worlds of a worker: to start a thread takes 50 ms of CPU. */
const digestPool = new DigestPool(1);

/** One service process, without its network: everything from frames to files and rows. */
export interface UploadWorld {
  readonly database: Database;
  readonly ledger: TaskLedger;
  readonly store: BlobStore;
  readonly uploads: UploadService;
  readonly repair: UploadRepair;
  readonly reaper: BlobReaper;
  readonly digests: DigestPool;
  readonly folder: string;
  readonly processId: ProcessId;
  /** Tells the sessions that a task changed, if they have not heard of it yet. */
  tellChange(taskId: TaskId): void;
}

/** What a world may be made of besides what is usual. */
export interface UploadWorldOptions {
  readonly limits?: Partial<UploadLimits>;
  /** Of another world, to share it. */
  readonly folder?: string;
  readonly wrapStore?: (store: BlobStore) => BlobStore;
  readonly wrapDatabase?: (database: Database) => Database;
  readonly digests?: Pick<DigestPool, 'open'>;
  /** How many images are unpacked at the same time; 2 if not given. */
  readonly unpackingLanes?: number;
  /** Called with what closes the world; when the test is finished if not given. */
  readonly defer?: (close: () => Promise<void>) => void;
}

/** A world for all tests of the file; answers it once they run. */
export function useUploadWorld(
  database: () => Database,
  options: UploadWorldOptions = {},
): () => UploadWorld {
  const cleanUps = new CleanUps();
  let world: UploadWorld | undefined;
  beforeAll(async () => {
    world = await openUploadWorld(database(), { ...options, defer: cleanUps.defer });
  });
  afterAll(cleanUps.run);
  return () => {
    if (!world) {
      throw new Error('the world is there only while tests run');
    }
    return world;
  };
}

/** Opens a world on a database, and closes it when the test is finished. */
export async function openUploadWorld(
  database: Database,
  options: UploadWorldOptions = {},
): Promise<UploadWorld> {
  const folder = options.folder ?? (await mkdtemp(join(inject('sharedFolder'), 'blobs-')));
  const files = await FileBlobStore.open(folder);
  const changes = await changesOf(database);
  const own = options.wrapDatabase?.(database) ?? database;
  const store = options.wrapStore?.(files) ?? files;
  const ledger = new TaskLedger(own);
  const logger = pino({ level: process.env['DARKROOM_TEST_LOG'] ?? 'silent' });
  const processId = newId<ProcessId>();
  await database.pool.query(
    // Lives as long as nobody says that it died: nothing beats here.
    `insert into processes (id, host, pid, heartbeat_time) values ($1, 'test', 1, now() + interval '1 day')`,
    [processId],
  );
  const reaper = new BlobReaper(own, store, logger);
  const uploads = new UploadService({
    database: own,
    ledger,
    store,
    digests: new ParkedDigests(options.digests ?? digestPool),
    changes,
    processId,
    limits: { ...testLimits, ...options.limits },
    logger,
    unpackingLanes: new UnpackingLanes(options.unpackingLanes ?? 2),
    onBlobsReleased: () => reaper.wake(),
  });
  const repair = new UploadRepair({
    database: own,
    ledger,
    store,
    uploads,
    reaper,
    processId,
    failedBytesRetentionMs: 60_000,
    logger,
  });
  (options.defer ?? onTestFinished)(async () => {
    // A world that was killed or whose disk hangs does not end.
    await Promise.race([
      Promise.all([uploads.drain(), repair.settle(), reaper.settle()]),
      new Promise((resolve) => setTimeout(resolve, 500).unref()),
    ]);
    if (!options.folder) {
      await rm(folder, { recursive: true, force: true });
    }
  });
  return {
    database: own,
    ledger,
    store,
    uploads,
    repair,
    reaper,
    digests: digestPool,
    folder,
    processId,
    tellChange: (taskId) => changes.tell(taskId),
  };
}

/** Makes a world's process one that died: nothing more is heard of it. */
export async function loseProcess(database: Database, { processId }: UploadWorld): Promise<void> {
  await database.pool.query(
    `update processes set heartbeat_time = now() - interval '1 minute' where id = $1`,
    [processId],
  );
}

interface ToldChanges extends TaskChanges {
  tell(taskId: string): void;
}

const toldChanges = new WeakMap<Database, Promise<ToldChanges>>();

/** What PostgreSQL notifies of, one connection a database; it ends when the database is dropped. */
function changesOf(database: Database): Promise<ToldChanges> {
  const known = toldChanges.get(database) ?? listen(database);
  toldChanges.set(database, known);
  return known;
}

async function listen(database: Database): Promise<ToldChanges> {
  const subscribers = new Map<string, Set<ChangeFollower>>();
  const tell = (taskId: string): void => {
    for (const follower of subscribers.get(taskId) ?? []) {
      follower.onChange({ revision: undefined });
    }
  };
  const client = new pg.Client(database.pool.options);
  client.on('error', () => {});
  client.on('notification', ({ payload }) => tell(payload ?? ''));
  await client.connect();
  await client.query('listen darkroom_task');
  return {
    tell,
    subscribe(taskId, follower) {
      const own = subscribers.get(taskId) ?? new Set();
      subscribers.set(taskId, own.add(follower));
    },
    unsubscribe(taskId, follower) {
      subscribers.get(taskId)?.delete(follower);
    },
  };
}

/** A QUEUED image with a PENDING upload task. */
export async function queueImage(
  database: Database,
  stated: {
    readonly size?: number;
    readonly sha256?: string;
    readonly idleTimeoutMs?: number;
    readonly projectId?: string;
    readonly type?: 'UPLOAD' | 'IMPORT';
    readonly diskFormat?: DiskFormat;
    readonly decompress?: boolean;
  } = {},
): Promise<{ imageId: ImageId; taskId: TaskId }> {
  return database.fork().transactional(async (em) => {
    const now = await databaseTime(em);
    const image = em.create(Image, {
      id: newId<ImageId>(),
      projectId: stated.projectId ?? defaultCaller.projectId,
      createdBy: 'test',
      name: 'test',
      diskFormat: stated.diskFormat ?? 'RAW',
      containerFormat: 'BARE',
      state: 'QUEUED',
      outlook: 'EXPECTED',
      minDiskBytes: 0,
      minRamBytes: 0,
      properties: {},
      tags: [],
      visibility: 'PRIVATE',
      protected: false,
      hidden: false,
      deactivated: false,
      version: 1,
      createTime: now,
      updateTime: now,
    });
    em.persist(image);
    const task = openTask(new TrackedRows(em, now), image, defaultCaller, now, {
      type: stated.type ?? 'UPLOAD',
      requestId: null,
      labels: {},
      expectedSize: stated.size ?? null,
      expectedSha256: stated.sha256 ?? null,
      expectedSha512: null,
      source: null,
      decompress: stated.decompress ?? false,
      idleTimeoutMs: stated.idleTimeoutMs ?? 60_000,
      cause: 'test',
    });
    return { imageId: image.id, taskId: task.id };
  });
}

/** Makes the next attempt at a task. */
export async function retryTask(
  world: UploadWorld,
  taskId: TaskId,
  takeOver: boolean,
): Promise<TaskId> {
  return world.ledger.change(
    taskId,
    defaultCaller,
    (entry) => entry.retry(null, defaultCaller, takeOver, 'test').id,
  );
}

/** Reads a task as it is. */
export async function readTask(database: Database, id: TaskId): Promise<Task> {
  return database.fork().findOneOrFail(Task, { id });
}

/** Reads an image as it is. */
export async function readImage(database: Database, id: ImageId): Promise<Image> {
  return database.fork().findOneOrFail(Image, { id });
}

/** The faults of a task, oldest first. */
export async function readFaults(database: Database, taskId: TaskId): Promise<Fault[]> {
  return database.fork().find(Fault, { taskId }, { orderBy: { sequence: 'asc' } });
}

/** What downloads need, with room for all that tests begin. */
export function downloadsOf({
  database,
  store,
}: Pick<UploadWorld, 'database' | 'store'>): DownloadParts {
  return { database, store, places: new DownloadPlaces(100) };
}

/** Downloads an image; fails unless the parts have no gaps and end with a trailer that agrees. */
export async function download(
  world: UploadWorld,
  imageId: ImageId,
  range: { readonly offset?: number; readonly length?: number } = {},
): Promise<Buffer> {
  const parts: Buffer[] = [];
  let position = range.offset ?? 0;
  const whole = { offset: position, length: range.length };
  for await (const part of downloadImage(downloadsOf(world), defaultCaller, imageId, whole)) {
    if (part.kind === 'trailer') {
      const bytes = Buffer.concat(parts);
      expect(part.rangeSize).toBe(bytes.length);
      return bytes;
    }
    expect(part.offset).toBe(position);
    const bytes = part.kind === 'chunk' ? Buffer.from(part.data) : Buffer.alloc(part.length);
    parts.push(bytes);
    position += bytes.length;
  }
  throw new Error('the download ended without its trailer');
}

/** The error that a promise rejects with, which must be one for callers. */
export async function failureOf(promise: Promise<unknown>): Promise<DarkroomError> {
  const failure: unknown = await promise.then(
    (value) => expect.unreachable(`resolved with ${JSON.stringify(value)}`),
    (error: unknown) => error,
  );
  if (!(failure instanceof DarkroomError)) {
    throw failure;
  }
  return failure;
}

/** Lower-case hex. */
export function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
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
export function chunk(offset: number, data: Uint8Array, crc32c?: number) {
  return { kind: 'chunk', offset, data: new Uint8Array(data), crc32c } as const;
}

/** A hole frame. */
export function hole(offset: number, length: number) {
  return { kind: 'hole', offset, length } as const;
}

/** A finish frame. */
export function finish(totalSize: number, sha256?: string) {
  return { kind: 'finish', totalSize, sha256 } as const;
}
