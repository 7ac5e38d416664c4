import { createContextValues } from '@connectrpc/connect';
import type { MessageInitShape } from '@bufbuild/protobuf';
import type {
  UploadChunkRequestSchema,
  UploadChunkResponse,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import { onlyOnce } from '../calls/surviving-transport.ts';
import type { CheckedPiece, Sending, SendingEnd } from './sending.ts';

/** Sends by UploadChunk, where requests cannot be streamed, as in browsers. */
export async function sendByChunks(sending: Sending): Promise<SendingEnd> {
  const { calls, taskId, guard, meter, pieces } = sending;
  let { writerEpoch } = sending;

  async function send(
    part: MessageInitShape<typeof UploadChunkRequestSchema>,
  ): Promise<UploadChunkResponse> {
    const answer = await calls.images.uploadChunk(
      { ...part, taskId, ...(writerEpoch !== undefined && { writerEpoch }) },
      {
        signal: guard.signal,
        timeoutMs: sending.deadAfterMs,
        contextValues: createContextValues().set(onlyOnce, true),
      },
    );
    writerEpoch = answer.writerEpoch;
    sending.committed(Number(answer.committedSize));
    return answer;
  }

  for (const sample of sending.samples) {
    await send(partOf(sample));
  }
  for (;;) {
    const next = await pieces.next();
    if (next === 'pause') {
      const committedBytes = meter.committedBytes;
      return { isComplete: false, committedBytes, writerEpoch, image: undefined, task: undefined };
    }
    if (next === 'end') {
      const finish = sending.finish();
      const { complete, committedSize, image, task } = await send({
        offset: finish.totalSize,
        finish,
      });
      return {
        isComplete: complete,
        committedBytes: Number(committedSize),
        writerEpoch,
        image,
        task,
      };
    }
    await send(partOf(next));
    meter.sent(next);
  }
}

function partOf({
  offset,
  data,
  length,
  crc32c,
}: CheckedPiece): MessageInitShape<typeof UploadChunkRequestSchema> {
  return data === undefined
    ? { offset: BigInt(offset), holeLength: BigInt(length) }
    : { offset: BigInt(offset), data, ...(crc32c !== undefined && { crc32c }) };
}
