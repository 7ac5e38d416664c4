import { constants, type ClientHttp2Stream, type OutgoingHttpHeaders } from 'node:http2';
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type DescMethodStreaming,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Code, ConnectError, type StreamResponse, type Transport } from '@connectrpc/connect';
import type { Http2SessionManager } from '@connectrpc/connect-node';
import {
  requestHeader,
  validateResponse,
  validateTrailer,
} from '@connectrpc/connect/protocol-grpc';
import {
  ImageService,
  UploadImageRequest_ChunkSchema,
  UploadImageRequestSchema,
} from '../../gen/darkroom/v1/image_service_pb.ts';
import type { HeaderFields } from './calls/credentials.ts';

type Message = MessageInitShape<typeof UploadImageRequestSchema>;

/** What waits to be sent is at most this and one message, in bytes: enough to keep a connection busy. */
const waitingBytes = 2 * 1024 * 1024;

/**
 * The transport, with uploads that give the bytes of a chunk to HTTP/2 as they are: Connect copies each one three times,
 * into memory that has to be had and cleared anew.
 */
export function withLeanUploads(transport: Transport, manager: Http2SessionManager): Transport {
  return {
    unary: (...call) => transport.unary(...call),
    stream: (method, signal, timeoutMs, header, input, contextValues) =>
      isUpload(method)
        ? upload(manager, method, signal, timeoutMs, header, input as AsyncIterable<Message>)
        : transport.stream(method, signal, timeoutMs, header, input, contextValues),
  };
}

function isUpload(method: DescMethodStreaming): boolean {
  return method === ImageService.method.uploadImage;
}

async function upload<I extends DescMessage, O extends DescMessage>(
  manager: Http2SessionManager,
  method: DescMethodStreaming<I, O>,
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
  header: HeaderFields,
  input: AsyncIterable<Message>,
): Promise<StreamResponse<I, O>> {
  const path = `/${method.parent.typeName}/${method.name}`;
  const headers = requestHeader(true, timeoutMs, header);
  const stream = await manager.request('POST', path, outgoing(headers), {});
  const cancel = (): void => stream.close(constants.NGHTTP2_CANCEL);
  signal?.addEventListener('abort', cancel);
  if (signal?.aborted === true) {
    cancel();
  }
  try {
    const answer = answerOf(stream, manager);
    // Whatever is thrown first is told.
    const failed = send(stream, input).then(() => new Promise<never>(() => undefined));
    failed.catch(() => undefined);
    const { head, trailer, body } = await Promise.race([answer, failed]);
    async function* message(): AsyncGenerator<MessageShape<O>, void, undefined> {
      yield fromBinary(method.output, body);
    }
    return {
      stream: true,
      service: method.parent,
      method,
      header: head,
      message: message(),
      trailer,
    };
  } catch (error) {
    cancel();
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

function outgoing(headers: Headers): OutgoingHttpHeaders {
  return Object.fromEntries(headers);
}

/** Sends all messages, as fast as they are taken. @throws what their source throws */
async function send(stream: ClientHttp2Stream, input: AsyncIterable<Message>): Promise<void> {
  const messages = input[Symbol.asyncIterator]();
  let wake = (): void => undefined;
  stream.once('close', () => wake());
  try {
    for (let next = await messages.next(); next.done !== true; next = await messages.next()) {
      if (stream.destroyed || stream.closed) {
        return;
      }
      const parts = partsOf(next.value);
      const isFull = stream.writableLength > waitingBytes;
      const taken = new Promise<void>((resolve) => {
        wake = resolve;
        stream.cork();
        parts.forEach((part, at) =>
          stream.write(part, at === parts.length - 1 ? () => resolve() : undefined),
        );
        stream.uncork();
      });
      if (isFull) {
        await taken;
      }
    }
  } finally {
    void messages.return?.();
  }
  stream.end();
}

/** A message as gRPC sends it; the bytes of a chunk are not copied, and come last. */
function partsOf(message: Message): readonly Uint8Array[] {
  const { frame } = message;
  if (frame?.case !== 'chunk') {
    const bytes = toBinary(UploadImageRequestSchema, create(UploadImageRequestSchema, message));
    return [framePrefix(bytes.length), bytes];
  }
  const { offset = 0n, data = new Uint8Array(), crc32c } = frame.value;
  const fields = UploadImageRequest_ChunkSchema.field;
  const inner = new BinaryWriter().tag(fields.offset.number, WireType.Varint).int64(offset);
  if (crc32c !== undefined) {
    inner.tag(fields.crc32c.number, WireType.Bit32).fixed32(crc32c);
  }
  const lead = inner.tag(fields.data.number, WireType.LengthDelimited).uint32(data.length).finish();
  const head = new BinaryWriter()
    .tag(UploadImageRequestSchema.field.chunk.number, WireType.LengthDelimited)
    .uint32(lead.length + data.length)
    .raw(lead)
    .finish();
  return [framePrefix(head.length + data.length), head, data];
}

function framePrefix(length: number): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(length, 1);
  return prefix;
}

interface Answer {
  readonly head: Headers;
  readonly trailer: Headers;
  readonly body: Uint8Array;
}

/** What the service answers. @throws ConnectError its error, or that the connection broke */
function answerOf(stream: ClientHttp2Stream, manager: Http2SessionManager): Promise<Answer> {
  return new Promise((resolve, reject) => {
    let head = new Headers();
    let trailer = new Headers();
    let status = 0;
    const pieces: Buffer[] = [];
    stream.on('response', (fields) => {
      status = fields[':status'] ?? 0;
      head = incoming(fields);
    });
    stream.on('trailers', (fields) => (trailer = incoming(fields)));
    stream.on('data', (piece: Buffer) => {
      manager.notifyResponseByteRead(stream);
      pieces.push(piece);
    });
    stream.on('end', () => {
      try {
        const { foundStatus, headerError } = validateResponse(status, head);
        if (headerError !== undefined) {
          throw headerError;
        }
        if (!foundStatus) {
          validateTrailer(trailer, head);
        }
        resolve({ head, trailer, body: unframed(Buffer.concat(pieces)) });
      } catch (error) {
        reject(error);
      }
    });
    stream.on('error', (error) => reject(ConnectError.from(error, Code.Unavailable)));
    stream.on('close', () => {
      reject(new ConnectError(`the stream was closed with ${stream.rstCode}`, Code.Unavailable));
    });
  });
}

function incoming(fields: Readonly<Record<string, unknown>>): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(fields)) {
    if (!name.startsWith(':') && typeof value === 'string') {
      headers.set(name, value);
    }
  }
  return headers;
}

/** The one message of an answer. @throws ConnectError where there is none, or it is compressed, which was not asked for */
function unframed(body: Buffer): Uint8Array {
  if (body.length < 5 || body[0] !== 0 || body.readUInt32BE(1) !== body.length - 5) {
    throw new ConnectError('protocol error: no message, or not one', Code.Internal);
  }
  return body.subarray(5);
}
