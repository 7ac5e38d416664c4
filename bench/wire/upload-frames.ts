import { create, toBinary } from '@bufbuild/protobuf';
import {
  UploadImageRequestSchema,
  type UploadImageRequest,
} from '../../gen/darkroom/v1/image_service_pb.ts';
import { framed } from './grpc-connection.ts';

/** The header frame of an upload, ready to be sent. */
export function headerFrame(taskId: string, writerEpoch?: bigint): Buffer {
  const epoch = writerEpoch === undefined ? {} : { writerEpoch };
  return frameOf({ case: 'header', value: { $typeName: headerType, taskId, ...epoch } });
}

/** The finish frame of an upload, ready to be sent. */
export function finishFrame(totalSize: number): Buffer {
  return frameOf({
    case: 'finish',
    value: { $typeName: finishType, totalSize: BigInt(totalSize) },
  });
}

const headerType = 'darkroom.v1.UploadImageRequest.Header';
const finishType = 'darkroom.v1.UploadImageRequest.Finish';

function frameOf(frame: UploadImageRequest['frame']): Buffer {
  return framed(toBinary(UploadImageRequestSchema, create(UploadImageRequestSchema, { frame })));
}

/** Tags of protobuf: the field's number and its wire type. */
const chunkTag = (2 << 3) | 2;
const offsetTag = (1 << 3) | 0;
const dataTag = (2 << 3) | 2;

/** What comes before a chunk's data, so that the data itself is never copied. */
export function chunkHead(offset: number, dataBytes: number): Buffer {
  const inner: number[] = [];
  if (offset > 0) {
    inner.push(offsetTag, ...varint(offset));
  }
  inner.push(dataTag, ...varint(dataBytes));
  const outer = [chunkTag, ...varint(inner.length + dataBytes)];
  const head = Buffer.alloc(5 + outer.length + inner.length);
  head.writeUInt32BE(outer.length + inner.length + dataBytes, 1);
  head.set([...outer, ...inner], 5);
  return head;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return bytes;
}
