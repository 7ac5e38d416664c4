import type { MessageInitShape } from '@bufbuild/protobuf';
import type { UploadImageRequestSchema } from '../../../gen/darkroom/v1/image_service_pb.ts';
import type { CheckedPiece, Sending, SendingEnd } from './sending.ts';

type Message = MessageInitShape<typeof UploadImageRequestSchema>;

/** Sends by UploadImage, where requests can be streamed. */
export async function sendByStream(sending: Sending): Promise<SendingEnd> {
  const { calls, guard, meter, pieces } = sending;
  let failure: { readonly error: unknown } | undefined;

  async function* messages(): AsyncGenerator<Message, void, undefined> {
    try {
      const { taskId, writerEpoch } = sending;
      guard.listen();
      yield {
        frame: {
          case: 'header',
          value: { taskId, ...(writerEpoch !== undefined && { writerEpoch }) },
        },
      };
      for (const sample of sending.samples) {
        yield frameOf(sample);
      }
      for (;;) {
        guard.rest();
        const next = await pieces.next();
        // Until the next one is asked for, this one is on its way.
        guard.listen();
        if (next === 'pause') {
          return;
        }
        if (next === 'end') {
          yield { frame: { case: 'finish', value: sending.finish() } };
          // The service may check it for long.
          guard.rest();
          return;
        }
        yield frameOf(next);
        meter.sent(next);
      }
    } catch (error) {
      failure = { error };
      throw error;
    }
  }

  try {
    const { committedSize, complete, image, task } = await calls.images.uploadImage(messages(), {
      signal: guard.signal,
    });
    sending.committed(Number(committedSize));
    return {
      isComplete: complete,
      committedBytes: Number(committedSize),
      writerEpoch: sending.writerEpoch,
      image,
      task,
    };
  } catch (error) {
    throw failure === undefined ? error : failure.error;
  }
}

function frameOf({ offset, data, length, crc32c }: CheckedPiece): Message {
  return data === undefined
    ? { frame: { case: 'hole', value: { offset: BigInt(offset), length: BigInt(length) } } }
    : {
        frame: {
          case: 'chunk',
          value: { offset: BigInt(offset), data, ...(crc32c !== undefined && { crc32c }) },
        },
      };
}
