import { setTimeout as delay } from 'node:timers/promises';
import { DarkroomError } from '../../../domain/darkroom-error.ts';
import type { ImageId } from '../../../records/ids.ts';
import {
  uploadTarget,
  type UploadTarget,
  type UploadTargetParts,
} from '../../../images/upload-target.ts';
import type { ChunkFrame } from '../../../uploads/receiving/upload-frame.ts';
import type { UploadOutcome, UploadService } from '../../../uploads/receiving/upload-service.ts';
import type { UploadTerms } from '../../../uploads/receiving/upload-body.ts';
import type { HttpCall } from '../../http/http-endpoints.ts';
import { isHttp2 } from '../../transport/node-http.ts';
import { BodyChunks } from './body-chunks.ts';
import {
  isOfUnknownLength,
  isReset,
  sha256InTrailers,
  uploadHeaders,
  type UploadHeaders,
} from './upload-headers.ts';

/** What it takes to receive an image's bytes. */
export interface ReceiveParts extends UploadTargetParts {
  readonly uploads: UploadService;
  /** Largest chunk that an upload takes, in bytes. */
  readonly maxChunkBytes: number;
}

/** What came of a request with an image's bytes. */
export interface Received {
  readonly target: UploadTarget;
  readonly outcome: UploadOutcome;
  /** Whether the image is whole now; more is to come if not. */
  readonly isWhole: boolean;
}

/** Larger ones spare nothing, and take memory. */
const chunkBytes = 1024 * 1024;

/**
 * A client of Node's HTTP/2 cancels a request by ending its stream, as if all were well, and resetting it in the same moment.
 * So where nothing but the end says that a body is whole, the end is believed only after this, in ms.
 */
const cancelGraceMs = 50;

/**
 * Receives an image's bytes, or a part of them, through the same sessions as UploadImage.
 *
 * @param purpose what becomes of them.
 * @param onTarget told for which task they are, before any is taken.
 * @throws DarkroomError as `uploadHeaders`, `uploadTarget`, `UploadService.receiveBody`.
 */
export async function receiveImage(
  parts: ReceiveParts,
  call: HttpCall,
  imageId: ImageId,
  purpose: UploadTerms['purpose'],
  onTarget: (target: UploadTarget) => void,
): Promise<Received> {
  const { caller, peer } = call.context;
  const headers = uploadHeaders(call.request);
  requireStageable(headers, purpose);
  const offset = headers.range?.first ?? 0;
  const begin = async (): Promise<{ target: UploadTarget; writerEpoch: number | undefined }> => {
    const target = await uploadTarget(parts, caller, imageId);
    onTarget(target);
    const { id } = target.task;
    if (headers.range === undefined) {
      await parts.uploads.untilBrokenOffEnded(caller, id);
      return { target, writerEpoch: undefined };
    }
    const resumed = await parts.uploads.resume(caller, id, peer);
    return { target, writerEpoch: resumed.writerEpoch };
  };
  let { target, writerEpoch } = await begin();
  const chunks = chunksOf(call, () => {
    const largest = Math.min(chunkBytes, parts.maxChunkBytes);
    return new BodyChunks(call.body, offset, headers.length, largest);
  });
  const gone = goneSignal(call);
  const receive = (): Promise<UploadOutcome> =>
    parts.uploads.receiveBody(
      caller,
      {
        taskId: target.task.id,
        writerEpoch,
        terms: { stated: headers.stated, isPlaced: headers.range !== undefined, purpose },
        offset,
        length: headers.length,
        isLast: isLast(headers),
        chunks,
        sha256AtEnd: () => sha256InTrailers(call.request),
      },
      { peer, signal: gone, bytesReceived: () => call.context.bytesReceived() },
    );
  let outcome: UploadOutcome;
  try {
    outcome = await receive();
  } catch (error) {
    // Its time had passed, and it has failed in this moment: the next attempt takes the bytes, of which none was taken yet.
    if (!(error instanceof DarkroomError) || error.reason !== 'TASK_EXPIRED') {
      throw error;
    }
    ({ target, writerEpoch } = await begin());
    outcome = await receive();
  }
  return { target, outcome, isWhole: outcome.complete || isLast(headers) };
}

/** Whether the end of a body is the image's: of a part, if it ends where the image does. */
function isLast({ range }: UploadHeaders): boolean {
  return range === undefined || range.first + range.length === range.total;
}

/** What is staged is checked when it is imported, and the digest of its bytes has to be computed as they come. */
function requireStageable({ stated }: UploadHeaders, purpose: UploadTerms['purpose']): void {
  if (purpose === 'stage' && stated.sha512 !== undefined && stated.sha256 === undefined) {
    throw new DarkroomError(
      'FIELD_INVALID',
      'repr-digest must have a sha-256 for an image that is staged: a sha-512 is not checked by the import',
    );
  }
}

/**
 * The chunks of a body, which ends only where its client did not cancel it.
 *
 * @param begin reads the body, which is not done before somebody takes it: until then its client may wait for the word to send.
 */
function chunksOf({ request }: HttpCall, begin: () => BodyChunks): AsyncIterator<ChunkFrame> {
  const mayBeCancelled = isHttp2(request) && isOfUnknownLength(request);
  let body: BodyChunks | undefined;
  return {
    async next() {
      body ??= begin();
      const next = await body.next();
      if (next.done === true && mayBeCancelled) {
        await delay(cancelGraceMs);
        if (isReset(request)) {
          throw connectionLost(undefined);
        }
      }
      return next;
    },
  };
}

function connectionLost(cause: unknown): DarkroomError {
  return new DarkroomError(
    'CONNECTION_LOST',
    'The connection of the upload broke before its end. The upload can be resumed.',
    { cause },
  );
}

/** Fires with a domain error when the client is gone. */
function goneSignal({ signal }: HttpCall): AbortSignal {
  const gone = new AbortController();
  const onAbort = (): void => gone.abort(connectionLost(signal.reason));
  if (signal.aborted) {
    onAbort();
  } else {
    signal.addEventListener('abort', onAbort, { once: true });
  }
  return gone.signal;
}
