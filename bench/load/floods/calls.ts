import { setTimeout as delay } from 'node:timers/promises';
import { create, toBinary } from '@bufbuild/protobuf';
import { GetImageRequestSchema } from '../../../gen/darkroom/v1/image_service_pb.ts';
import { WatchTaskRequestSchema } from '../../../gen/darkroom/v1/task_service_pb.ts';
import { framed } from '../../wire/grpc-connection.ts';
import {
  callHead,
  flags,
  frame,
  frameTypes,
  magic,
  openRaw,
  reset,
} from '../../wire/http2-frames.ts';
import {
  againAndAgain,
  floodAddress,
  hold,
  open,
  within,
  type Flood,
  type FloodTarget,
} from './flood.ts';

/** How a connection of HTTP/2 begins. */
export const begin = Buffer.concat([magic, frame(frameTypes.settings, 0, 0)]);

const cancel = 8;
const streamsOfConnection = 256;

/** The head of a call. */
export function head(method: string, stream: number, flag = 0): Buffer {
  return frame(
    frameTypes.headers,
    flags.endHeaders + flag,
    stream,
    callHead(`/darkroom.v1.${method}`),
  );
}

/** A whole call. */
export function call(method: string, stream: number, message: Uint8Array): Buffer {
  return Buffer.concat([
    head(method, stream),
    frame(frameTypes.data, flags.endStream, stream, framed(message)),
  ]);
}

/** What `of` gives for each of so many calls of a connection. */
export function calls(count: number, of: (stream: number) => Buffer, first = 0): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, i) => of(1 + 2 * (first + i))));
}

/** A request for an image. */
export function getImage({ imageId }: FloodTarget): Uint8Array {
  return toBinary(GetImageRequestSchema, create(GetImageRequestSchema, { imageId }));
}

/** Begins calls that do not end on connections that are held, as many as the service takes of each. */
function beginCalls(port: number, connections: number, of: (stream: number) => Buffer): void {
  for (let i = 0; i < connections; i += 1) {
    const { socket } = openRaw(
      port,
      Buffer.concat([begin, calls(streamsOfConnection, of)]),
      floodAddress,
    );
    hold(socket);
  }
}

/** Of connections and calls: too many, half of them, given up. */
export const callFloods: Readonly<Record<string, Flood>> = {
  '20,000 calls given up, once': async ({ port }) => {
    const bytes = Buffer.concat([begin, calls(20_000, givenUp)]);
    await openRaw(port, bytes, floodAddress).closed;
    return 1;
  },

  '20,000 calls given up, on connection after connection': againAndAgain(() =>
    Buffer.concat([begin, calls(20_000, givenUp)]),
  ),

  '1,500 half-sent heads and 1,000 silent connections of HTTP/2': async ({ port }) => {
    const half = Buffer.from('GET /healthz HTTP/1.1\r\nhost: localhost\r\n');
    for (let i = 0; i < 2500; i += 1) {
      const socket = open(port);
      hold(socket);
      await new Promise((resolve) => socket.write(i < 1500 ? half : begin, resolve));
    }
    return 2500;
  },

  'connections beyond those of one address (2,048), each with a request open': async (
    target,
    isOver,
  ) => {
    const post =
      'POST /darkroom.v1.ImageService/GetImage HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n' +
      'content-length: 9\r\n\r\n{';
    for (let i = 0; i < 2048 && !isOver(); i += 1) {
      const socket = open(target.port);
      hold(socket);
      await new Promise((resolve) => socket.write(post, resolve));
    }
    let count = 0;
    while (!isOver()) {
      const socket = open(target.port);
      socket.write('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n');
      await within(500, new Promise((resolve) => socket.once('close', resolve)));
      socket.destroy();
      count += 1;
    }
    return count;
  },

  'calls beyond those of one connection (256)': againAndAgain(() =>
    Buffer.concat([begin, calls(2000, (stream) => head('ImageService/GetImage', stream))]),
  ),

  'calls beyond those of one address (16,384)': async (target, isOver) => {
    beginCalls(target.port, 64, (stream) => head('ImageService/GetImage', stream));
    return againAndAgain(() =>
      Buffer.concat([
        begin,
        calls(50, (stream) => call('ImageService/GetImage', stream, getImage(target))),
      ]),
    )(target, isOver);
  },

  'watches beyond those of one caller (5,000), tried again 200 times a second': async (
    target,
    isOver,
  ) => {
    const message = toBinary(
      WatchTaskRequestSchema,
      create(WatchTaskRequestSchema, { taskId: target.taskId }),
    );
    beginCalls(target.port, 20, (stream) => call('TaskService/WatchTask', stream, message));
    const { socket } = openRaw(target.port, begin, floodAddress);
    let count = 0;
    for (; !isOver() && !socket.destroyed; count += 1) {
      socket.write(call('TaskService/WatchTask', 1 + 2 * count, message));
      await delay(5);
    }
    socket.destroy();
    return count;
  },

  '20,000 requests that HTTP/1.1 sends ahead, on connection after connection': againAndAgain(() =>
    Buffer.from('GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(20_000)),
  ),
};

function givenUp(stream: number): Buffer {
  return Buffer.concat([
    head('ImageService/ListImages', stream),
    frame(frameTypes.data, flags.endStream, stream, Buffer.alloc(5)),
    reset(stream, cancel),
  ]);
}
