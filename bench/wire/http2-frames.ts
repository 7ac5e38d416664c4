import * as net from 'node:net';

/** Types of frames, by RFC 9113, section 6. */
export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** What flags mean: of DATA and HEADERS, of SETTINGS and PING, of HEADERS and CONTINUATION, of DATA. */
export const flags = { endStream: 1, ack: 1, endHeaders: 4, padded: 8 } as const;

/** What every connection of HTTP/2 begins with: 24 bytes, and the client's SETTINGS. */
export const magic = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** A frame as clients send it by hand that do what no library does. */
export function frame(
  type: number,
  flag: number,
  stream: number,
  payload: Uint8Array = Buffer.of(),
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head.set([type, flag], 3);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A text as HPACK has it, without Huffman's code. */
export function literal(text: string): Buffer {
  return Buffer.concat([Buffer.of(text.length), Buffer.from(text)]);
}

/** The head of a gRPC call to `path`, as it can be sent any number of times: nothing of it is kept for later ones. */
export function callHead(path: string): Buffer {
  return Buffer.concat([
    // :method POST, :scheme http, :authority, :path, content-type; the last three not indexed.
    Buffer.from('838601', 'hex'),
    literal('localhost'),
    Buffer.of(0x04),
    literal(path),
    Buffer.from('0f10', 'hex'),
    literal('application/grpc'),
  ]);
}

/** A RST_STREAM. */
export function reset(stream: number, code: number): Buffer {
  return frame(frameTypes.reset, 0, stream, Buffer.of(0, 0, 0, code));
}

/** What a server said when it gave up a connection. */
export interface Goaway {
  readonly lastStream: number;
  readonly code: number;
  readonly text: string;
}

/** That a server gave up a stream. */
export interface Reset {
  readonly stream: number;
  readonly code: number;
}

/** A connection of HTTP/2 whose client sends what it likes. */
export interface RawConnection {
  readonly socket: net.Socket;
  /** The types of the frames that came. */
  readonly types: readonly number[];
  readonly goaways: readonly Goaway[];
  readonly resets: readonly Reset[];
  /** Resolves when the server has closed it. */
  readonly closed: Promise<void>;
}

/** Connects, and sends `bytes`. */
export function openRaw(
  port: number,
  bytes: Uint8Array,
  localAddress = '127.0.0.1',
): RawConnection {
  const socket = net.connect({ port, host: '127.0.0.1', localAddress });
  // A server that closes does not read what still comes.
  socket.on('error', () => {});
  const types: number[] = [];
  const goaways: Goaway[] = [];
  const resets: Reset[] = [];
  let rest = Buffer.alloc(0);
  socket.on('data', (more) => {
    rest = Buffer.concat([rest, more]);
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const end = 9 + rest.readUIntBE(0, 3);
      types.push(rest[3]!);
      if (rest[3] === frameTypes.goaway) {
        const [lastStream, code] = [rest.readUInt32BE(9), rest.readUInt32BE(13)];
        goaways.push({ lastStream, code, text: rest.toString('latin1', 17, end) });
      }
      if (rest[3] === frameTypes.reset) {
        resets.push({ stream: rest.readUInt32BE(5), code: rest.readUInt32BE(9) });
      }
      rest = rest.subarray(end);
    }
  });
  socket.write(bytes);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  return { socket, types, goaways, resets, closed };
}
