import { fromBinary, type DescMessage, type MessageShape } from '@bufbuild/protobuf';
import { anyUnpack } from '@bufbuild/protobuf/wkt';
import type * as grpc from '@grpc/grpc-js';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from '../../gen/google/rpc/error_details_pb.ts';
import { StatusSchema } from '../../gen/google/rpc/status_pb.ts';

/** What a failed call says in its `grpc-status-details-bin` trailer. */
export function errorDetails(error: unknown): {
  readonly reason: string | undefined;
  readonly domain: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly fields: readonly string[];
  readonly retryDelaySeconds: number | undefined;
} {
  const [trailer] = (error as grpc.ServiceError).metadata.get('grpc-status-details-bin');
  const details = Buffer.isBuffer(trailer) ? fromBinary(StatusSchema, trailer).details : [];
  const find = <S extends DescMessage>(schema: S): MessageShape<S> | undefined =>
    details.map((detail) => anyUnpack(detail, schema)).find((found) => found !== undefined);
  const info = find(ErrorInfoSchema);
  const delay = find(RetryInfoSchema)?.retryDelay;
  return {
    reason: info?.reason,
    domain: info?.domain,
    metadata: info?.metadata ?? {},
    fields: find(BadRequestSchema)?.fieldViolations.map(({ field }) => field) ?? [],
    retryDelaySeconds: delay && Number(delay.seconds) + delay.nanos / 1e9,
  };
}
