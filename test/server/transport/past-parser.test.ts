import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import * as http from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import fc from 'fast-check';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { RequestBody, type BodySink } from '../../../src/server/transport/request-body.ts';

/** What a server read of a body. */
interface Read {
  readonly sha256: string;
  readonly bytes: number;
  /** Bytes that came by Node's parser. */
  readonly parsed: number;
  readonly failure: string | undefined;
}

/** Settled one by one, in the order of the requests. */
let reads: Read[];
let url: URL;
/** Bytes after which the reader leaves the body; it reads all if not set. */
let leavesAfter = Infinity;
/** After how many pieces the reader wants none for a moment. */
let restsAfter = Infinity;
let broken: PromiseWithResolvers<Read>;

beforeAll(async () => {
  const server = http.createServer((request, response) => {
    const hash = createHash('sha256');
    let bytes = 0;
    let parsed = 0;
    let pieces = 0;
    const body = new RequestBody(request);
    const sink: BodySink = {
      take(data) {
        hash.update(data);
        bytes += data.byteLength;
        pieces += 1;
        if (bytes >= leavesAfter) {
          response.end('left');
          void body.return();
          // As the service does, so that what follows on the connection is reached.
          setImmediate(() => request.resume());
          return false;
        }
        if (pieces % restsAfter === 0) {
          setTimeout(() => body.resume(), 1);
          return false;
        }
        return true;
      },
      end(failure) {
        const read = { sha256: hash.digest('hex'), bytes, parsed, failure: failure?.reason };
        if (failure === undefined) {
          reads.push(read);
        } else {
          broken.resolve(read);
        }
        if (!response.headersSent) {
          response.end(`${bytes} bytes`);
        }
      },
    };
    body.flowInto(sink);
    request.on('data', (data: Buffer) => (parsed += data.byteLength));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  return async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  };
});

function begin(changes: { leaves?: number; rests?: number } = {}): void {
  reads = [];
  broken = Promise.withResolvers<Read>();
  leavesAfter = changes.leaves ?? Infinity;
  restsAfter = changes.rests ?? Infinity;
}

function open(): Socket {
  const socket = connect(Number(url.port), url.hostname);
  onTestFinished(() => void socket.destroy());
  return socket;
}

const head = (length: number, more = ''): string =>
  `PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: ${length}\r\n${more}\r\n`;
const sha256 = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');
const MiB = 1024 * 1024;
const last = 'connection: close\r\n';

test('a body of known length comes past the parser, but for its beginning and its end', async () => {
  begin();
  const sent = randomBytes(16 * MiB);
  const socket = open();
  socket.write(head(sent.byteLength, last));
  socket.write(sent);
  expect(await text(socket)).toContain(`${sent.byteLength} bytes`);
  expect(reads).toMatchObject([{ sha256: sha256(sent), bytes: sent.byteLength }]);
  expect(reads[0]!.parsed).toBeLessThan(2 * MiB);
});

test('what is sent ahead on a connection comes to its own request, whatever the pieces and rests', async () => {
  const length = fc.oneof(fc.nat({ max: 100 }), fc.integer({ min: 200_000, max: 3_000_000 }));
  await fc.assert(
    fc.asyncProperty(
      fc.array(length, { minLength: 1, maxLength: 5 }),
      fc.option(fc.integer({ min: 1, max: 9 })),
      fc.integer({ min: 1000, max: 700_000 }),
      async (lengths, rests, pieceBytes) => {
        begin(rests === null ? {} : { rests });
        const bodies = lengths.map((bytes) => randomBytes(bytes));
        const all = Buffer.concat(
          bodies.flatMap((body, i) => [
            Buffer.from(head(body.byteLength, i === bodies.length - 1 ? last : '')),
            body,
          ]),
        );
        await sendInPieces(all, pieceBytes);
        const digests = reads.map((read) => read.sha256).toSorted();
        expect(digests).toEqual(bodies.map(sha256).toSorted());
      },
    ),
    { numRuns: 25 },
  );
});

/** Sends bytes on a connection of their own, and waits until the server has ended it. */
async function sendInPieces(all: Uint8Array, pieceBytes: number): Promise<void> {
  const socket = connect(Number(url.port), url.hostname);
  try {
    const answered = text(socket);
    for (let at = 0; at < all.byteLength; at += pieceBytes) {
      if (!socket.write(all.subarray(at, at + pieceBytes))) {
        await once(socket, 'drain');
      }
    }
    await answered;
  } finally {
    socket.destroy();
  }
}

test.each([undefined, 3])(
  'a reader that leaves has the rest read, and the next request served (rests: %s)',
  async (rests) => {
    begin({ leaves: 3 * MiB, ...(rests !== undefined && { rests }) });
    const socket = open();
    socket.write(head(8 * MiB));
    socket.write(randomBytes(8 * MiB));
    const next = randomBytes(1000);
    socket.write(head(next.byteLength, last));
    socket.write(next);
    const answers = await text(socket);
    expect(answers.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    expect(reads.at(-1)).toMatchObject({ sha256: sha256(next) });
  },
);

test('after a connection that broke, others have their bodies', async () => {
  for (let i = 0; i < 5; i += 1) {
    begin();
    const socket = open();
    socket.write(head(8 * MiB));
    socket.write(randomBytes(4 * MiB), () => socket.destroy());
    expect(await broken.promise).toMatchObject({ failure: 'CONNECTION_LOST' });
    // Parsers are used again: each of these takes one that was another's before.
    const body = randomBytes(300);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        fetch(url, { method: 'PUT', body }).then((one) => one.text()),
      ),
    );
    expect(new Set(answers)).toEqual(new Set(['300 bytes']));
  }
});
