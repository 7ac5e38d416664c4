import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Image, ImageSchema } from '../../../gen/darkroom/v1/image_pb.ts';
import type { CreateImageRequestSchema } from '../../../gen/darkroom/v1/image_service_pb.ts';
import type { Task } from '../../../gen/darkroom/v1/task_pb.ts';
import type { ConnectionState, SurvivalOptions } from '../calls/client-calls.ts';

/** What an upload does just now. */
export type UploadStep =
  /** The image is created, or the service is asked where to go on. */
  | 'starting'
  /** What the service has already is read, as its digest is needed. */
  | 'reading'
  | 'sending'
  /** The connection broke, or the service asked for a pause: see `waiting`. */
  | 'waiting'
  /** All was sent; the service checks it. */
  | 'finishing'
  | 'done';

/** How far an upload is. Sizes are in bytes. */
export interface UploadProgress {
  readonly step: UploadStep;
  readonly taskId: string | undefined;
  readonly imageId: string | undefined;
  /** The size of the whole, where it is known. */
  readonly sizeBytes: number | undefined;
  /** How much the service has for good. Never goes back. */
  readonly committedBytes: number;
  /** Up to where it was sent, holes included; goes back when something is sent again. */
  readonly position: number;
  /** How many bytes were sent, those sent again too, holes not. */
  readonly sentBytes: number;
  /** How many zeros were not sent. */
  readonly holeBytes: number;
  /** How fast `position` moves on, over the last seconds. */
  readonly bytesPerSecond: number;
  /** How often it was gone on with. */
  readonly resumes: number;
  /** While the step is `waiting`: for what, and until when. */
  readonly waiting: Extract<ConnectionState, { state: 'waiting' }> | undefined;
}

/** How an upload is to be, whatever it is for. Sizes are in bytes, times in ms. */
export interface SendingOptions extends SurvivalOptions {
  /** The size of the whole, if it is known of a source that does not say it. No other is taken. */
  readonly size?: number;
  /** The sha256 of the whole, if it is known. No other is taken, and it is not computed here. */
  readonly sha256?: string;
  /** Whether the sha256 is computed while the bytes are read, and sent; true if not set. */
  readonly digest?: boolean;
  /** The largest piece that travels; what the service recommends if not set. */
  readonly chunkBytes?: number;
  /** The most of a stream that is kept in memory until the service has it for good; 128 MiB if not set. */
  readonly windowBytes?: number;
  /**
   * When another writer takes the upload: `stop` fails with WRITER_FENCED, `take-back` takes it back, three times at
   * most. `stop` if not set.
   */
  readonly onFenced?: 'stop' | 'take-back';
  /** Told how far it is: with each step, and ten times a second at most. */
  readonly onProgress?: (progress: UploadProgress) => void;
  /** Told before the first byte goes, and awaited: with the task's id the upload can be gone on with by anybody. */
  readonly onTask?: (ids: {
    readonly taskId: string;
    readonly imageId: string;
  }) => void | Promise<void>;
}

/** An image that is to be made. */
export interface NewImage {
  /** Its fields; `diskFormat` is needed. */
  readonly image: MessageInitShape<typeof ImageSchema>;
  /** Makes it safe to begin the same upload twice: the second one goes on with the first. */
  readonly requestId?: string;
  /** The id that it is to have. */
  readonly imageId?: string;
  /** How long its task waits for the next sign of life before it fails, in ms. */
  readonly idleTimeoutMs?: number;
  /** What travels is gzip, xz, zstd or bzip2, and the image is what is inside. */
  readonly decompress?: boolean;
}

/** An upload that goes on with one that was begun, by this program or any other. */
export interface BegunUpload {
  readonly taskId: string;
}

/** How an upload is to be. */
export type UploadOptions = SendingOptions & (NewImage | BegunUpload);

/** What became of an upload. */
export interface UploadResult {
  /** The image, ACTIVE. */
  readonly image: Image;
  /** The task, SUCCEEDED. */
  readonly task: Task;
  /** How many bytes the source had. */
  readonly sizeBytes: number;
  /** The sha256 of the source, where it was computed or known. */
  readonly sha256: string | undefined;
  readonly sentBytes: number;
  readonly holeBytes: number;
  readonly resumes: number;
}

/** The request that makes an image. */
export type NewImageRequest = MessageInitShape<typeof CreateImageRequestSchema>;
