import { createHash, randomFillSync } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import {
  ResumeUploadRequestSchema,
  ResumeUploadResponseSchema,
  UploadImageResponseSchema,
} from '../../gen/darkroom/v1/image_service_pb.ts';
import { answerCommands } from '../stage/script.ts';
import { GrpcConnection, type GrpcCall } from '../wire/grpc-connection.ts';
import { chunkHead, finishFrame, headerFrame } from '../wire/upload-frames.ts';

/** What is to be uploaded, all at the same time, each over a connection of its own. */
export interface UploadOrder {
  readonly url: string;
  /** One upload each. */
  readonly taskIds: readonly string[];
  readonly bytesEach: number;
  readonly chunkBytes: number;
  readonly content: 'random' | 'half-zeros';
  /** As fast as it goes if not set. */
  readonly mibPerSecond?: number | undefined;
}

/** The rest of an upload that broke. */
export interface RestOrder extends Omit<UploadOrder, 'taskIds'> {
  readonly taskId: string;
}

/** An upload that stops on its way. */
export interface PartOrder extends RestOrder {
  /** Bytes that are sent. */
  readonly to: number;
}

/** How it went. */
export interface UploadResult {
  readonly seconds: number;
  /** Of the images, as the server computed it: all have the same content. */
  readonly sha256: string;
}

/** What the script can be asked. */
export interface UploadLoad {
  upload(order: UploadOrder): Promise<UploadResult>;
  /** Sends the first bytes of an upload and leaves the stream open, whatever becomes of it then. */
  hold(order: PartOrder): Promise<void>;
  /** Takes an upload over and sends what is missing; the time begins with ResumeUpload. */
  resume(order: RestOrder): Promise<UploadResult>;
  /** The sha256 of what such an upload sends. */
  sha256(order: Pick<UploadOrder, 'bytesEach' | 'content'>): Promise<string>;
}

const MiB = 1024 * 1024;
const method = 'darkroom.v1.ImageService/UploadImage';
/** Runs of zeros and of data, in turn. */
const runBytes = 256 * 1024;
/** Bytes that are handed to HTTP/2 and not sent yet: enough to keep the connection busy. */
const queuedBytes = 4 * MiB;

// The images repeat these bytes: nothing on the way looks for repetitions.
const content = {
  random: randomFillSync(Buffer.alloc(64 * MiB)),
  'half-zeros': Buffer.alloc(64 * MiB),
};
for (let start = 0; start < content.random.byteLength; start += 2 * runBytes) {
  content.random.copy(content['half-zeros'], start, start, start + runBytes);
}

answerCommands<UploadLoad>({
  async upload(order) {
    const connections = await Promise.all(order.taskIds.map(() => GrpcConnection.open(order.url)));
    const began = performance.now();
    const digests = await Promise.all(
      connections.map((connection, i) =>
        uploadOne(connection.call(method), order.taskIds[i] ?? '', order),
      ),
    );
    const seconds = (performance.now() - began) / 1000;
    connections.forEach((connection) => connection.close());
    const [sha256 = ''] = digests;
    if (digests.some((digest) => digest !== sha256)) {
      throw new Error(`uploads of the same bytes have several digests: ${digests.join(', ')}`);
    }
    return { seconds, sha256 };
  },

  async hold(order) {
    const connection = await GrpcConnection.open(order.url);
    // The service will be gone before it answers.
    connection.onBreak(() => {});
    const call = connection.call(method);
    call.stream.on('error', () => {});
    const sender = new Sender(call);
    sender.send(headerFrame(order.taskId));
    await sendBytes(sender, order, 0, order.to);
  },

  async resume(order) {
    const { url, taskId } = order;
    const connection = await GrpcConnection.open(url);
    const began = performance.now();
    const request = toBinary(
      ResumeUploadRequestSchema,
      create(ResumeUploadRequestSchema, { taskId }),
    );
    const answer = await connection.unary('darkroom.v1.ImageService/ResumeUpload', request);
    const { committedSize, writerEpoch } = fromBinary(ResumeUploadResponseSchema, answer);
    const from = { offset: Number(committedSize), writerEpoch };
    const sha256 = await uploadOne(connection.call(method), taskId, order, from);
    const seconds = (performance.now() - began) / 1000;
    connection.close();
    return { seconds, sha256 };
  },

  sha256({ bytesEach, content: kind }) {
    const hash = createHash('sha256');
    const data = content[kind];
    for (let offset = 0; offset < bytesEach; offset += data.byteLength) {
      hash.update(data.subarray(0, Math.min(data.byteLength, bytesEach - offset)));
    }
    return Promise.resolve(hash.digest('hex'));
  },
});

async function uploadOne(
  call: GrpcCall,
  taskId: string,
  order: Omit<UploadOrder, 'url' | 'taskIds'>,
  from: { readonly offset: number; readonly writerEpoch?: bigint } = { offset: 0 },
): Promise<string> {
  const answer = call.onlyMessage();
  // Told by the `await` below; what is written to a call that failed goes nowhere.
  answer.catch(() => {});
  const { bytesEach } = order;
  const sender = new Sender(call);
  sender.send(headerFrame(taskId, from.writerEpoch));
  await sendBytes(sender, order, from.offset, bytesEach);
  sender.send(finishFrame(bytesEach));
  call.stream.end();
  const { image, complete, committedSize } = fromBinary(UploadImageResponseSchema, await answer);
  const isWhole =
    complete && image?.state === Image_State.ACTIVE && committedSize === BigInt(bytesEach);
  if (!isWhole) {
    throw new Error(`the upload of task ${taskId} did not complete`);
  }
  return image.sha256;
}

async function sendBytes(
  sender: Sender,
  {
    chunkBytes,
    content: kind,
    mibPerSecond,
  }: Pick<UploadOrder, 'chunkBytes' | 'content' | 'mibPerSecond'>,
  start: number,
  end: number,
): Promise<void> {
  const data = content[kind];
  const began = performance.now();
  for (let offset = start; offset < end;) {
    const at = offset % data.byteLength;
    const size = Math.min(chunkBytes, end - offset, data.byteLength - at);
    sender.send(chunkHead(offset, size));
    sender.send(data.subarray(at, at + size));
    await sender.hasRoom();
    offset += size;
    if (mibPerSecond !== undefined) {
      const due = began + ((offset - start) / MiB / mibPerSecond) * 1000;
      await delay(Math.max(0, due - performance.now()));
    }
  }
}

/** Writes to a call, and knows how much of it is not sent yet. */
class Sender {
  readonly #call: GrpcCall;
  #queued = 0;
  #onRoom: (() => void) | undefined;

  constructor(call: GrpcCall) {
    this.#call = call;
    call.stream.once('close', () => this.#onRoom?.());
  }

  send(bytes: Buffer): void {
    this.#queued += bytes.byteLength;
    this.#call.stream.write(bytes, () => {
      this.#queued -= bytes.byteLength;
      if (this.#queued < queuedBytes) {
        this.#onRoom?.();
      }
    });
  }

  /** Waits while the server's window, or the network, is full. */
  async hasRoom(): Promise<void> {
    if (this.#queued >= queuedBytes && !this.#call.stream.closed) {
      await new Promise<void>((resolve) => {
        this.#onRoom = resolve;
      });
      this.#onRoom = undefined;
    }
  }
}
