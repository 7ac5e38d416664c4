import type { MessageInitShape } from '@bufbuild/protobuf';
import { createClient, type CallOptions, type Client, type Transport } from '@connectrpc/connect';
import type { Image } from '../../gen/darkroom/v1/image_pb.ts';
import {
  ImageService,
  type ListImagesRequestSchema,
} from '../../gen/darkroom/v1/image_service_pb.ts';
import { QuotaService } from '../../gen/darkroom/v1/quota_service_pb.ts';
import type { Task } from '../../gen/darkroom/v1/task_pb.ts';
import {
  TaskService,
  type ListTasksRequestSchema,
  type TaskFilterSchema,
} from '../../gen/darkroom/v1/task_service_pb.ts';
import type { ClientCalls } from './calls/client-calls.ts';
import { CallHeaders, type Credential } from './calls/credentials.ts';
import { allPages } from './calls/pages.ts';
import { defaultRetryPolicy, Pauses, type RetryPolicy } from './calls/retry-policy.ts';
import { SurvivingTransport } from './calls/surviving-transport.ts';
import type {
  DownloadOptions,
  DownloadResult,
  DownloadTarget,
} from './download/download-options.ts';
import { downloadToStream } from './download/download-to-stream.ts';
import {
  readImage,
  type ImageEnd,
  type ImagePart,
  type ReadOptions,
} from './download/read-image.ts';
import {
  runSnapshot,
  type SnapshotOptions,
  type SnapshotProducer,
} from './snapshot/run-snapshot.ts';
import { uploadImage, type UploadPlatform } from './upload/upload-image.ts';
import type { UploadOptions, UploadResult } from './upload/upload-options.ts';
import type { UploadSource } from './upload/upload-source.ts';
import { waitForTask } from './watch/task-end.ts';
import { waitForImage } from './watch/wait-for-image.ts';
import { watchTask, type TaskNews, type WatchOptions } from './watch/watch-task.ts';
import { watchTasks, type TasksNews } from './watch/watch-tasks.ts';

/** What every client is made with, on whatever platform. */
export interface ClientOptions {
  /** Who calls; nobody in particular if not set. */
  readonly credential?: Credential;
  /** For callers with the role `service`, and admins: the project that is acted for. */
  readonly project?: string;
  /** More headers of each call, such as `x-request-id`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How often and how long things are tried again; what is not set is as in `defaultRetryPolicy`. */
  readonly retry?: Partial<RetryPolicy>;
  /** How long each try of a unary call may take, in ms; 30,000 if not set. */
  readonly callTimeoutMs?: number;
}

/** A client of one Darkroom. Its methods throw DarkroomErrors, or the reason of a signal that was aborted. */
export interface DarkroomClient {
  /** Every call of ImageService, as the contract has it. Unary calls are tried again where that is safe. */
  readonly images: Client<typeof ImageService>;
  /** Every call of TaskService. */
  readonly tasks: Client<typeof TaskService>;
  /** Every call of QuotaService. */
  readonly quotas: Client<typeof QuotaService>;
  /** All images of a list, page by page as they are wanted. */
  listImages(
    request?: MessageInitShape<typeof ListImagesRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<Image, void, undefined>;
  /** All tasks of a list, likewise. */
  listTasks(
    request?: MessageInitShape<typeof ListTasksRequestSchema>,
    options?: CallOptions,
  ): AsyncGenerator<Task, void, undefined>;
  /**
   * Brings the bytes of an image, and resolves when it is ACTIVE. It goes on by itself where it was through broken
   * connections, restarts of the service and lost answers. What was aborted or failed can be gone on with by its task's id,
   * unless that is terminal.
   */
  uploadImage(source: UploadSource, options: UploadOptions): Promise<UploadResult>;
  /**
   * Does the whole of a snapshot for a compute service: makes image and task, has the producer take it, and uploads what it
   * gives. What the producer throws is a fault of the task: whoever waits for the image knows that it will not come.
   */
  runSnapshot(options: SnapshotOptions, producer: SnapshotProducer): Promise<UploadResult>;
  /**
   * Brings an image to a path (by several ranges at once; what is left of an earlier download is gone on with; holes stay
   * holes) or to a stream, and checks its sha256.
   */
  downloadImage(
    imageId: string,
    target: DownloadTarget,
    options?: DownloadOptions,
  ): Promise<DownloadResult>;
  /** Reads an image, or a range of it, in parts; the digest is the reader's to check. */
  readImage(imageId: string, options?: ReadOptions): AsyncGenerator<ImagePart, ImageEnd, undefined>;
  /** Follows a task to its end: every change comes once and in order, whatever happens to the connection. */
  watchTask(taskId: string, options?: WatchOptions): AsyncGenerator<TaskNews, void, undefined>;
  /** Follows all tasks that match a filter. After a break they are told anew, after `begin`. */
  watchTasks(
    filter?: MessageInitShape<typeof TaskFilterSchema>,
    options?: WatchOptions,
  ): AsyncGenerator<TasksNews, void, undefined>;
  /** Waits until a task has SUCCEEDED. Fails by the reason of its fatal fault, or with TASK_CANCELLED. */
  waitForTask(taskId: string, options?: WatchOptions): Promise<Task>;
  /** Waits until an image is ACTIVE. Fails as soon as it will not come, by the reason of the last fault. */
  waitForImage(imageId: string, options?: WatchOptions): Promise<Image>;
  /** Ends all pauses between tries: what waits tries again now, as when a network has come back. */
  retryNow(): void;
  /** Ends the connections, and what is under way on them. */
  close(): void;
}

/** What a client needs of a platform. */
export interface ClientPlatform extends UploadPlatform {
  readonly downloadToPath: (
    calls: ClientCalls,
    imageId: string,
    path: string,
    options: DownloadOptions | undefined,
  ) => Promise<DownloadResult>;
}

const defaultCallTimeoutMs = 30_000;

/** The client over a transport of Connect. */
export function clientOver(
  transport: Transport,
  platform: ClientPlatform,
  options: ClientOptions,
  closeTransport: () => void = () => undefined,
): DarkroomClient {
  const pauses = new Pauses();
  const headers = new CallHeaders(options.credential, options.project, options.headers);
  const policy = { ...defaultRetryPolicy, ...options.retry };
  const timeoutMs = options.callTimeoutMs ?? defaultCallTimeoutMs;
  const surviving = new SurvivingTransport(transport, headers, policy, pauses, timeoutMs);
  const images = createClient(ImageService, surviving);
  const tasks = createClient(TaskService, surviving);
  const calls: ClientCalls = { images, tasks, policy, pauses, canRenew: headers.canRenew };
  return {
    images,
    tasks,
    quotas: createClient(QuotaService, surviving),
    listImages: (request = {}, callOptions = {}) =>
      allPages(async (pageToken) => {
        const page = await images.listImages({ ...request, pageToken }, callOptions);
        return { items: page.images, nextPageToken: page.nextPageToken };
      }),
    listTasks: (request = {}, callOptions = {}) =>
      allPages(async (pageToken) => {
        const page = await tasks.listTasks({ ...request, pageToken }, callOptions);
        return { items: page.tasks, nextPageToken: page.nextPageToken };
      }),
    uploadImage: (source, uploadOptions) => uploadImage(calls, platform, source, uploadOptions),
    runSnapshot: (snapshotOptions, producer) =>
      runSnapshot(calls, platform, snapshotOptions, producer),
    downloadImage: (imageId, target, downloadOptions) =>
      typeof target === 'string'
        ? platform.downloadToPath(calls, imageId, target, downloadOptions)
        : downloadToStream(calls, platform.arithmetic, imageId, target, downloadOptions),
    readImage: (imageId, readOptions) => readImage(calls, imageId, readOptions),
    watchTask: (taskId, watchOptions) => watchTask(calls, taskId, watchOptions),
    watchTasks: (filter, watchOptions) => watchTasks(calls, filter, watchOptions),
    waitForTask: (taskId, watchOptions) => waitForTask(calls, taskId, watchOptions),
    waitForImage: (imageId, watchOptions) => waitForImage(calls, imageId, watchOptions),
    retryNow: () => pauses.endAll(),
    close: () => {
      pauses.close();
      closeTransport();
    },
  };
}
