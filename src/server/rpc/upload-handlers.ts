import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import {
  DownloadImageResponseSchema,
  ResumeUploadResponseSchema,
  UploadChunkResponseSchema,
  UploadImageResponseSchema,
  type DownloadImageResponse,
  type ImageService as ImageServiceDescriptor,
  type UploadImageRequest,
  type UploadImageRequest_Finish,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import type { Settings } from '../../config/settings.ts';
import type { Database } from '../../database/database.ts';
import { untilAborted } from '../../domain/abortable.ts';
import { DarkroomError, invalidField } from '../../domain/darkroom-error.ts';
import { parseId, type ImageId, type TaskId } from '../../records/ids.ts';
import { downloadImage, type DownloadPart } from '../../images/download-image.ts';
import type { ImageService } from '../../images/image-service.ts';
import type { BlobStore } from '../../storage/blob-store.ts';
import { getTask } from '../../tasks/reading/task-queries.ts';
import type { FinishClaim } from '../../uploads/publishing/finish-claim.ts';
import type { UploadFrame } from '../../uploads/receiving/upload-frame.ts';
import type { UploadOutcome, UploadService } from '../../uploads/receiving/upload-service.ts';
import { imageMessage } from './messages/image-message.ts';
import { taskMessage } from './messages/task-message.ts';
import { uploadLimitsMessage } from './messages/upload-limits-message.ts';
import { bytesReceivedOf, callerOf, peerOf } from '../transport/request-context.ts';

/** The calls of ImageService that move bytes; those that keep images are elsewhere. */
export type UploadHandlers = Pick<
  ServiceImpl<typeof ImageServiceDescriptor>,
  'uploadImage' | 'uploadChunk' | 'resumeUpload' | 'downloadImage'
>;

/** What the handlers translate for. */
export interface UploadHandlerParts {
  readonly uploads: UploadService;
  readonly images: ImageService;
  readonly database: Database;
  readonly store: BlobStore;
  readonly settings: Settings;
}

/** Translates between the contract's messages and the upload service. */
export function uploadHandlers(parts: UploadHandlerParts): UploadHandlers {
  const { uploads, settings } = parts;
  return {
    async uploadImage(frames, context) {
      const signal = goneSignal(context);
      const outcome = await uploads.receive(callerOf(context), framesOf(frames, signal), {
        peer: peerOf(context),
        signal,
        bytesReceived: () => bytesReceivedOf(context),
      });
      return create(UploadImageResponseSchema, {
        ...(await standingOf(parts, context, outcome.taskId)),
        committedSize: BigInt(outcome.committedSize),
        complete: outcome.complete,
      });
    },

    async uploadChunk(request, context) {
      const offset = Number(request.offset);
      if (request.data.byteLength > 0 && request.holeLength !== undefined) {
        throw invalidField('hole_length', 'must not be set together with data');
      }
      const outcome: UploadOutcome = await uploads.receiveCall(
        callerOf(context),
        {
          taskId: request.taskId,
          writerEpoch: numberIfSet(request.writerEpoch),
          frame:
            request.holeLength !== undefined
              ? { kind: 'hole', offset, length: Number(request.holeLength) }
              : request.data.byteLength > 0
                ? { kind: 'chunk', offset, data: owned(request.data), crc32c: request.crc32c }
                : undefined,
          finish: request.finish && claimOf(request.finish, 'finish'),
        },
        peerOf(context),
      );
      return create(UploadChunkResponseSchema, {
        ...(await standingOf(parts, context, outcome.taskId)),
        committedSize: BigInt(outcome.committedSize),
        complete: outcome.complete,
        writerEpoch: BigInt(outcome.writerEpoch),
      });
    },

    async resumeUpload(request, context) {
      const taskId = parseId<TaskId>(request.taskId, 'task_id');
      const resumed = await uploads.resume(callerOf(context), taskId, peerOf(context));
      const { task } = await standingOf(parts, context, taskId);
      return create(ResumeUploadResponseSchema, {
        task,
        committedSize: BigInt(resumed.committedSize),
        writerEpoch: BigInt(resumed.writerEpoch),
        limits: uploadLimitsMessage(settings),
      });
    },

    async *downloadImage(request, context) {
      const imageId = parseId<ImageId>(request.imageId, 'image_id');
      const range = { offset: Number(request.offset), length: numberIfSet(request.length) };
      const { database, store } = parts;
      for await (const part of downloadImage(database, store, callerOf(context), imageId, range)) {
        yield downloadMessage(part);
      }
    },
  };
}

async function standingOf(
  { images, database }: UploadHandlerParts,
  context: HandlerContext,
  taskId: TaskId,
): Promise<{ image: ReturnType<typeof imageMessage>; task: ReturnType<typeof taskMessage> }> {
  const caller = callerOf(context);
  const { task, lastFault } = await getTask(database, caller, taskId);
  const view = await images.getImage(caller, task.imageId);
  return {
    image: imageMessage(view.image, view.lastFault, caller),
    task: taskMessage(task, lastFault, caller),
  };
}

/**
 * A client of Node's HTTP/2, such as grpc-js, cancels a call by ending its stream, as if all were well, and
 * resetting it a moment later. So a stream that ends without a finish is taken for ended only after this,
 * in ms. Nothing but the record of a fault depends on it: such a stream completes nothing either way.
 */
const cancelGraceMs = 20;

/**
 * The frames of a stream in the domain's terms. An iterator by hand, since a generator's return waits
 * for a pending read, and the reading must be given up at once when the upload ends.
 *
 * @param gone fires when the client is gone.
 */
function framesOf(
  messages: AsyncIterable<UploadImageRequest>,
  gone: AbortSignal,
): AsyncIterator<UploadFrame> {
  const iterator = messages[Symbol.asyncIterator]();
  let isFinished = false;
  return {
    async next() {
      const { done, value } = await nextMessage(iterator);
      if (done) {
        if (!isFinished) {
          await untilAborted(gone, delay(cancelGraceMs));
        }
        return { done, value: undefined };
      }
      isFinished = value.frame.case === 'finish';
      return { done: false, value: frameOf(value) };
    },
  };
}

async function nextMessage(
  iterator: AsyncIterator<UploadImageRequest>,
): Promise<IteratorResult<UploadImageRequest>> {
  try {
    return await iterator.next();
  } catch (error) {
    throw transportFailure(error);
  }
}

function frameOf({ frame }: UploadImageRequest): UploadFrame {
  switch (frame.case) {
    case 'header':
      return {
        kind: 'header',
        taskId: frame.value.taskId,
        writerEpoch: numberIfSet(frame.value.writerEpoch),
      };
    case 'chunk':
      return {
        kind: 'chunk',
        offset: Number(frame.value.offset),
        data: owned(frame.value.data),
        crc32c: frame.value.crc32c,
      };
    case 'hole':
      return {
        kind: 'hole',
        offset: Number(frame.value.offset),
        length: Number(frame.value.length),
      };
    case 'finish':
      return { kind: 'finish', ...claimOf(frame.value, 'finish') };
    case undefined:
      return { kind: 'empty' };
  }
}

/** Messages are decoded from ArrayBuffers of their own, never from shared memory. */
function owned(data: Uint8Array): Uint8Array<ArrayBuffer> {
  return data.buffer instanceof ArrayBuffer
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
}

function claimOf(finish: UploadImageRequest_Finish, path: string): FinishClaim {
  const totalSize = Number(finish.totalSize);
  if (!Number.isSafeInteger(totalSize) || totalSize < 0) {
    throw invalidField(`${path}.total_size`, 'must be 0 or more bytes, below 2^53');
  }
  if (finish.sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(finish.sha256)) {
    throw invalidField(`${path}.sha256`, 'must be 64 hex digits');
  }
  return { totalSize, sha256: finish.sha256?.toLowerCase() };
}

/** What the network or the codec says of a stream, as a fault of the upload. */
function transportFailure(error: unknown): unknown {
  if (error instanceof DarkroomError) {
    return error;
  }
  const { code, rawMessage } = ConnectError.from(error);
  switch (code) {
    case Code.ResourceExhausted:
      return new DarkroomError('CHUNK_TOO_LARGE', rawMessage, { cause: error });
    case Code.InvalidArgument:
      return new DarkroomError('FIELD_INVALID', rawMessage, { cause: error });
    default:
      return connectionLost(error);
  }
}

function connectionLost(cause: unknown): DarkroomError {
  return new DarkroomError(
    'CONNECTION_LOST',
    'The connection of the upload broke before its end. The upload can be resumed.',
    { cause },
  );
}

/** Fires with a domain error when the client is gone or its deadline has passed. */
function goneSignal(context: HandlerContext): AbortSignal {
  const gone = new AbortController();
  const onAbort = (): void => gone.abort(connectionLost(context.signal.reason));
  if (context.signal.aborted) {
    onAbort();
  } else {
    context.signal.addEventListener('abort', onAbort, { once: true });
  }
  return gone.signal;
}

function downloadMessage(part: DownloadPart): DownloadImageResponse {
  switch (part.kind) {
    case 'chunk':
      return create(DownloadImageResponseSchema, {
        part: { case: 'chunk', value: { offset: BigInt(part.offset), data: part.data } },
      });
    case 'hole':
      return create(DownloadImageResponseSchema, {
        part: {
          case: 'hole',
          value: { offset: BigInt(part.offset), length: BigInt(part.length) },
        },
      });
    case 'trailer':
      return create(DownloadImageResponseSchema, {
        part: {
          case: 'trailer',
          value: {
            totalSize: BigInt(part.totalSize),
            sha256: part.sha256,
            rangeSize: BigInt(part.rangeSize),
          },
        },
      });
  }
}

function numberIfSet(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}
