import { create } from '@bufbuild/protobuf';
import type { UploadLimits } from '../../../../gen/darkroom/v1/image_service_pb.ts';
import { UploadLimitsSchema } from '../../../../gen/darkroom/v1/image_service_pb.ts';
import type { Settings } from '../../../config/settings.ts';
import { durationOf } from './well-known-types.ts';

/** What the service takes from an uploading client. */
export function uploadLimitsMessage(
  settings: Pick<Settings, 'maxChunkBytes' | 'maxImageBytes' | 'streamIdleTimeoutMs'>,
): UploadLimits {
  return create(UploadLimitsSchema, {
    maxChunkBytes: settings.maxChunkBytes,
    recommendedChunkBytes: Math.min(recommendedChunkBytes, settings.maxChunkBytes),
    maxImageBytes: BigInt(settings.maxImageBytes),
    streamIdleTimeout: durationOf(settings.streamIdleTimeoutMs),
  });
}

/**
 * 1 MiB: large enough that the cost of a frame no longer shows, small enough that a client may hold
 * several in memory, and below the 4 MiB at which gRPC libraries refuse a message by default.
 */
const recommendedChunkBytes = 1024 * 1024;
