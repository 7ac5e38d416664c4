import { onTestFinished } from 'vitest';
import pino from 'pino';
import { readSettings, type Settings } from '../../src/config/settings.ts';
import type { Database } from '../../src/database/database.ts';
import { defaultCaller, type Caller } from '../../src/access/caller.ts';
import type { ImageId, TaskId } from '../../src/records/ids.ts';
import type { CreateImageRequest, ImageSource } from '../../src/images/image-requests.ts';
import { ImageService } from '../../src/images/image-service.ts';
import { ImportService } from '../../src/imports/import-service.ts';
import { ReachPolicy } from '../../src/imports/reach-policy.ts';
import type { NameLookup } from '../../src/imports/source-connection.ts';
import { cancelTask } from '../../src/tasks/control/cancel-task.ts';
import { retryTask } from '../../src/tasks/control/retry-task.ts';
import type { Task } from '../../src/records/task.ts';
import type { SecretKeys } from '../../src/secrets/secret-keys.ts';
import { testSecretKeys } from '../support/secret-keys.ts';
import { untilTask } from '../support/until-task.ts';
import {
  openUploadWorld,
  readTask,
  type UploadWorld,
  type UploadWorldOptions,
} from '../support/upload-world.ts';

/** One service process that fetches imports, without its network. */
export interface ImportWorld extends UploadWorld {
  readonly images: ImageService;
  readonly imports: ImportService;
  /** Each line that was logged. */
  readonly log: readonly string[];
  /** Asks for an import; it is fetched at once. */
  create(
    source: Partial<Extract<ImageSource, { kind: 'copy_from' }>> | string,
    more?: Partial<Pick<CreateImageRequest, 'idleTimeoutMs' | 'requestId'>> & {
      readonly diskFormat?: string;
      readonly caller?: Caller;
    },
  ): Promise<{ imageId: ImageId; taskId: TaskId }>;
  cancel(taskId: TaskId): Promise<void>;
  retry(taskId: TaskId): Promise<TaskId>;
}

/** How a world of imports differs from what is usual. */
export interface ImportWorldOptions extends UploadWorldOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly lookup?: NameLookup;
  readonly secretKeys?: SecretKeys;
  /** Whether it fetches from the beginning. */
  readonly isStarted?: boolean;
  /** How often it looks for imports that are due, in ms. */
  readonly pollIntervalMs?: number;
}

/** Short, so that tests need not wait; every port and this machine may be reached. */
export const importEnv = {
  DARKROOM_IMPORT_PORTS: '*',
  DARKROOM_IMPORT_SPECIAL_ADDRESSES: '127.0.0.1',
  DARKROOM_IMPORT_MAX_TRIES: '3',
  DARKROOM_IMPORT_BACKOFF_MS: '20',
  DARKROOM_IMPORT_MAX_BACKOFF_MS: '50',
  DARKROOM_IMPORT_MAX_REDIRECTS: '3',
} as const;

/** Opens a world on a database, and closes it when the test is finished. */
export async function openImportWorld(
  database: Database,
  options: ImportWorldOptions = {},
): Promise<ImportWorld> {
  const settings: Settings = readSettings({ ...importEnv, ...options.env });
  const defer = options.defer ?? onTestFinished;
  const upload = await openUploadWorld(database, {
    ...options,
    limits: { formatCheck: settings.formatCheck, ...options.limits },
    defer,
  });
  const log: string[] = [];
  const logger = pino({ level: 'trace' }, { write: (line) => void log.push(line) });
  const reach = new ReachPolicy(settings);
  const imports = new ImportService({
    database: upload.database,
    store: upload.store,
    uploads: upload.uploads,
    limits: settings,
    secretKeys: options.secretKeys ?? testSecretKeys,
    maxImageBytes: 64 * 1024 * 1024,
    pace: { idleTimeoutMs: settings.importStallTimeoutMs, minRate: 0 },
    http: {
      reach,
      connectTimeoutMs: settings.importConnectTimeoutMs,
      responseTimeoutMs: settings.importResponseTimeoutMs,
      maxRedirects: settings.importMaxRedirects,
      lookup: options.lookup,
    },
    logger,
    pollIntervalMs: options.pollIntervalMs ?? 50,
  });
  const onBlobsReleased = (): void => upload.reaper.wake();
  const onImportDue = (): void => {
    if (options.isStarted !== false) {
      imports.wake();
    }
  };
  const images = new ImageService({
    database: upload.database,
    settings,
    reach,
    secretKeys: options.secretKeys ?? testSecretKeys,
    onBlobsReleased,
    onImportDue,
  });
  defer(async () => {
    imports.claimNoMore();
    await upload.uploads.drain();
    await imports.stop();
    await upload.reaper.settle();
  });
  if (options.isStarted !== false) {
    imports.start();
  }
  const parts = { ledger: upload.ledger, onBlobsReleased, onImportDue };
  return {
    ...upload,
    images,
    imports,
    log,
    async create(source, more = {}) {
      const from =
        typeof source === 'string' ? ({ from: { kind: 'url', url: source } } as const) : source;
      const { image, task } = await images.createImage(more.caller ?? defaultCaller, {
        image: {
          name: 'imported',
          diskFormat: more.diskFormat ?? 'RAW',
          containerFormat: undefined,
          minDiskBytes: 0,
          minRamBytes: 0,
          properties: {},
          tags: [],
          visibility: undefined,
          protected: false,
          hidden: false,
        },
        imageId: '',
        projectId: '',
        source: {
          kind: 'copy_from',
          from: undefined,
          totalSize: undefined,
          sha256: undefined,
          sha512: undefined,
          maxSizeBytes: undefined,
          headers: {},
          ...from,
        },
        requestId: more.requestId ?? '',
        idleTimeoutMs: more.idleTimeoutMs ?? 60_000,
      });
      return { imageId: image.id, taskId: task!.task.id };
    },
    async cancel(taskId) {
      await cancelTask(parts, defaultCaller, { taskId, reason: 'a test' });
    },
    async retry(taskId) {
      const { task } = await retryTask(parts, defaultCaller, { taskId, requestId: '' });
      return task.id;
    },
  };
}

/** Resolves with a task once it has ended. */
export async function ended(database: Database, taskId: TaskId): Promise<Task> {
  await untilTask(database, taskId, 'finish_time is not null');
  return readTask(database, taskId);
}
