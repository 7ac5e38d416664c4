import type { MessageInitShape } from '@bufbuild/protobuf';
import type { Client } from '@connectrpc/connect';
import { expect } from 'vitest';
import type {
  ImageService,
  UploadImageRequestSchema,
  UploadImageResponse,
} from '../../gen/darkroom/v1/image_service_pb.ts';
import type { RunningService } from './running-service.ts';

type Frame = MessageInitShape<typeof UploadImageRequestSchema>;

/** An upload stream that sends what it is told to, and else stays open. */
export interface HeldUpload {
  readonly taskId: string;
  /** Sends bytes that begin at `offset`, in chunks of a MiB. */
  send(offset: number, bytes: Uint8Array): void;
  sendHole(offset: number, length: number): void;
  /** Sends the finish and half-closes. */
  finish(totalSize: number, sha256?: string): void;
  /** Half-closes. */
  end(): void;
  /** The answer or the error; an error that nobody awaits is no failure of the test. */
  readonly answer: Promise<UploadImageResponse>;
}

const chunkBytes = 1024 * 1024;

/** Opens an upload stream and sends its header. */
export function holdUpload(
  images: Client<typeof ImageService>,
  taskId: string,
  writerEpoch?: bigint,
): HeldUpload {
  const frames: Frame[] = [
    { frame: { case: 'header', value: { taskId, ...(writerEpoch && { writerEpoch }) } } },
  ];
  let wake = Promise.withResolvers<void>();
  let isOver = false;
  async function* framesAsTheyCome(): AsyncGenerator<Frame, void> {
    for (;;) {
      yield* frames.splice(0);
      if (isOver && frames.length === 0) {
        return;
      }
      await wake.promise;
      wake = Promise.withResolvers();
    }
  }
  const push = (...more: Frame[]): void => {
    frames.push(...more);
    wake.resolve();
  };
  const end = (): void => {
    isOver = true;
    wake.resolve();
  };
  const answer = images.uploadImage(framesAsTheyCome());
  answer.catch(() => {});
  return {
    taskId,
    answer,
    end,
    send(offset, bytes) {
      for (let at = 0; at < bytes.length; at += chunkBytes) {
        const data = bytes.subarray(at, at + chunkBytes);
        push({ frame: { case: 'chunk', value: { offset: BigInt(offset + at), data } } });
      }
    },
    sendHole(offset, length) {
      const value = { offset: BigInt(offset), length: BigInt(length) };
      push({ frame: { case: 'hole', value } });
    },
    finish(totalSize, sha256) {
      const value = { totalSize: BigInt(totalSize), ...(sha256 && { sha256 }) };
      push({ frame: { case: 'finish', value } });
      end();
    },
  };
}

/** For conditions that come to pass within a second or so on an idle machine. */
export const patience = { timeout: 60_000, interval: 20 };

/** Waits until so many bytes of a task are acknowledged. */
export async function untilCommitted(
  { tasks }: Pick<RunningService, 'tasks'>,
  taskId: string,
  bytes: number,
): Promise<void> {
  await expect
    .poll(async () => (await tasks.getTask({ taskId })).task?.progress?.bytesDone, patience)
    .toBe(BigInt(bytes));
}
