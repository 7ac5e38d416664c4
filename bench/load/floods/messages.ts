import { gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import {
  CreateImageRequestSchema,
  UploadImageRequestSchema,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import { framed } from '../../wire/grpc-connection.ts';
import { headerFrame } from '../../wire/upload-frames.ts';
import { flags, frame, frameTypes, literal, callHead } from '../../wire/http2-frames.ts';
import { begin, calls, head } from './calls.ts';
import { againAndAgain, atOnce, withoutPause, type Flood } from './flood.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const frameBytes = 16 * KiB;

/** A body in frames as large as may be. */
function data(stream: number, body: Uint8Array): Buffer {
  const parts = [];
  for (let at = 0; at < body.byteLength; at += frameBytes) {
    const isLast = at + frameBytes >= body.byteLength;
    parts.push(
      frame(
        frameTypes.data,
        isLast ? flags.endStream : 0,
        stream,
        body.subarray(at, at + frameBytes),
      ),
    );
  }
  return Buffer.concat(parts);
}

/** A request of HTTP/1.1, in JSON. */
function post(method: string, body: string): Buffer {
  return Buffer.from(
    `POST /darkroom.v1.${method} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n` +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  );
}

function gzipped(): Buffer {
  const name = 'a'.repeat(64 * MiB);
  const message = gzipSync(
    toBinary(CreateImageRequestSchema, create(CreateImageRequestSchema, { image: { name } })),
    { level: 1 },
  );
  const envelope = framed(message);
  envelope[0] = 1;
  const encoding = Buffer.concat([Buffer.of(0), literal('grpc-encoding'), literal('gzip')]);
  const path = callHead('/darkroom.v1.ImageService/CreateImage');
  return Buffer.concat([
    begin,
    calls(8, (stream) =>
      Buffer.concat([
        frame(frameTypes.headers, flags.endHeaders, stream, Buffer.concat([path, encoding])),
        data(stream, envelope),
      ]),
    ),
  ]);
}

const emptyChunk = framed(
  toBinary(
    UploadImageRequestSchema,
    create(UploadImageRequestSchema, { frame: { case: 'chunk', value: {} } }),
  ),
);

/** Of messages: too large, inflated, nested, many. */
export const messageFloods: Readonly<Record<string, Flood>> = {
  'messages that say they have 1 GiB': againAndAgain(() =>
    Buffer.concat([
      begin,
      calls(100, (stream) =>
        Buffer.concat([
          head('ImageService/GetImage', stream),
          frame(frameTypes.data, 0, stream, Buffer.of(0, 0x40, 0, 0, 0)),
        ]),
      ),
    ]),
  ),
  'messages of 64 MiB that gzip packs': againAndAgain(gzipped),
  'JSON of 1 MiB, nested without end': againAndAgain(() =>
    post('ImageService/GetImage', `{"image_id":${'['.repeat(1_000_000)}`),
  ),
  'protobuf of 1 MiB, nested without end': againAndAgain(() =>
    Buffer.concat([
      begin,
      head('ImageService/GetImage', 1),
      data(1, framed(Buffer.alloc(1_000_000, 0x0b))),
    ]),
  ),
  'chunks of 4 MiB as base64 in JSON, four at a time': atOnce(
    4,
    againAndAgain(({ taskId }) =>
      post(
        'ImageService/UploadChunk',
        JSON.stringify({ taskId, data: Buffer.alloc(4 * MiB - 3, 7).toString('base64') }),
      ),
    ),
  ),
  'empty chunks in a stream': withoutPause(
    Buffer.concat([begin, head('ImageService/UploadImage', 1)]),
    (time, { taskId }) => {
      const chunks = Buffer.concat(
        Array<Buffer>(Math.floor(frameBytes / emptyChunk.byteLength)).fill(emptyChunk),
      );
      return time === 0
        ? frame(frameTypes.data, 0, 1, headerFrame(taskId))
        : frame(frameTypes.data, 0, 1, chunks);
    },
  ),
  'GET with a message of 60 KiB in its query, four at a time': atOnce(
    4,
    againAndAgain(() =>
      Buffer.from(
        `GET /darkroom.v1.ImageService/GetImage?connect=v1&encoding=json&message=${'%7B'.repeat(20_000)} HTTP/1.1\r\n` +
          'host: localhost\r\nconnection: close\r\n\r\n',
      ),
    ),
  ),
};
