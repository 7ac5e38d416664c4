import { create } from '@bufbuild/protobuf';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  DownloadImageResponseSchema,
  ResumeUploadResponseSchema,
  UploadChunkResponseSchema,
  type DownloadImageResponse,
  type ImageService as ImageServiceDescriptor,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import type { Settings } from '../../config/settings.ts';
import { invalidField } from '../../domain/darkroom-error.ts';
import { parseId, type ImageId, type TaskId } from '../../records/ids.ts';
import {
  downloadImage,
  type DownloadPart,
  type DownloadParts,
} from '../../images/download-image.ts';
import type { UploadOutcome, UploadService } from '../../uploads/receiving/upload-service.ts';
import { claimOf, numberIfSet } from './upload-fields.ts';
import { connectUploadImage } from './upload-image.ts';
import { standingOf, type StandingParts } from './upload-standing.ts';
import { uploadLimitsMessage } from './messages/upload-limits-message.ts';
import { callerOf, peerOf } from '../transport/request-context.ts';

/** The calls of ImageService that move bytes; those that keep images are elsewhere. */
export type UploadHandlers = Pick<
  ServiceImpl<typeof ImageServiceDescriptor>,
  'uploadImage' | 'uploadChunk' | 'resumeUpload' | 'downloadImage'
>;

/** What the handlers translate for. */
export interface UploadHandlerParts extends StandingParts {
  readonly uploads: UploadService;
  readonly downloads: DownloadParts;
  readonly settings: Settings;
}

/** Translates between the contract's messages and the upload service. */
export function uploadHandlers(parts: UploadHandlerParts): UploadHandlers {
  const { uploads, settings } = parts;
  return {
    uploadImage: connectUploadImage(parts),

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
                ? { kind: 'chunk', offset, data: request.data, crc32c: request.crc32c }
                : undefined,
          finish: request.finish && claimOf(request.finish, 'finish'),
        },
        peerOf(context),
      );
      return create(UploadChunkResponseSchema, {
        ...(await standingOf(parts, context, outcome.taskId, outcome.published)),
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
      for await (const part of downloadImage(parts.downloads, callerOf(context), imageId, range)) {
        yield downloadMessage(part);
      }
    },
  };
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
