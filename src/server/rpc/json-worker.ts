import { parentPort } from 'node:worker_threads';
import { createRegistry, fromJsonString, toBinary } from '@bufbuild/protobuf';
import { ImageService } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { QuotaService } from '../../../gen/darkroom/v1/quota_service_pb.ts';
import { TaskService } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { Health } from '../../../gen/grpc/health/v1/health_pb.ts';
import type { JsonAnswer, JsonRequest } from './json-thread.ts';

const registry = createRegistry(
  ...[ImageService, TaskService, QuotaService, Health].map(({ file }) => file),
);
/** As connect's: bytes that are no UTF-8 are exchanged, and a mark of their order is left out. */
const decoder = new TextDecoder();

parentPort?.on('message', ({ id, typeName, json }: JsonRequest) => {
  const answer = read(typeName, json);
  parentPort?.postMessage(
    { id, ...answer } satisfies JsonAnswer,
    'message' in answer ? [answer.message.buffer] : [],
  );
});

function read(
  typeName: string,
  json: readonly Uint8Array[],
): { readonly message: Uint8Array<ArrayBuffer> } | { readonly wrong: string } {
  try {
    const schema = registry.getMessage(typeName);
    if (schema === undefined) {
      throw new Error(`there is no message ${typeName}`);
    }
    // As connect reads it.
    const text = decoder.decode(Buffer.concat(json));
    const message = fromJsonString(schema, text, { ignoreUnknownFields: true });
    const bytes = toBinary(schema, message);
    // Of its own, to be moved.
    return {
      message: bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes),
    };
  } catch (error) {
    return { wrong: error instanceof Error ? error.message : String(error) };
  }
}
