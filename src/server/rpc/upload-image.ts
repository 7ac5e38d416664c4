import { setTimeout as delay } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import {
  UploadImageResponseSchema,
  type ImageService,
  type UploadImageRequest,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import { untilAborted } from '../../domain/abortable.ts';
import { DarkroomError } from '../../domain/darkroom-error.ts';
import type { UploadFrame } from '../../uploads/receiving/upload-frame.ts';
import type { UploadIntake } from '../../uploads/receiving/upload-intake.ts';
import {
  bytesReceivedOf,
  callerOf,
  peerOf,
  requestContextOf,
} from '../transport/request-context.ts';
import { claimOf, numberIfSet } from './upload-fields.ts';
import { standingOf, type StandingParts } from './upload-standing.ts';

/** What UploadImage needs. */
export interface UploadImageParts extends StandingParts {
  readonly uploads: UploadIntake;
}

/** UploadImage as connect brings its messages. Whatever else reads a stream's frames needs only the intake too. */
export function connectUploadImage(
  parts: UploadImageParts,
): ServiceImpl<typeof ImageService>['uploadImage'] {
  return async (frames, context) => {
    const signal = goneSignal(context);
    const onHeader = (taskId: string): void => {
      requestContextOf(context).outcome.subject = { taskId };
    };
    const outcome = await parts.uploads.receive(
      callerOf(context),
      framesOf(frames, signal, onHeader),
      {
        peer: peerOf(context),
        signal,
        bytesReceived: () => bytesReceivedOf(context),
      },
    );
    return create(UploadImageResponseSchema, {
      ...(await standingOf(parts, context, outcome.taskId, outcome.published)),
      committedSize: BigInt(outcome.committedSize),
      complete: outcome.complete,
    });
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
 * @param onHeader told which task the stream is for, as the client says.
 */
function framesOf(
  messages: AsyncIterable<UploadImageRequest>,
  gone: AbortSignal,
  onHeader: (taskId: string) => void,
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
      if (value.frame.case === 'header') {
        onHeader(value.frame.value.taskId);
      }
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
        data: frame.value.data,
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
