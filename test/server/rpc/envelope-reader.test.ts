import fc from 'fast-check';
import { Code, ConnectError } from '@connectrpc/connect';
import { describe, expect, test } from 'vitest';
import { DarkroomError } from '../../../src/domain/darkroom-error.ts';
import { EnvelopeReader, type FlowingBody } from '../../../src/server/rpc/envelope-reader.ts';
import type { BodySink } from '../../../src/server/transport/request-body.ts';

const maxBytes = 100_000;

/** A body that a test sends, and that notes when it is not to be sent any more. */
class SentBody implements FlowingBody {
  sink: BodySink | undefined;
  isWanted = true;

  flowInto(sink: BodySink): void {
    this.sink = sink;
  }

  resume(): void {
    this.isWanted = true;
  }

  /** Sends a copy, of which nothing is left once it was taken. */
  send(bytes: Uint8Array): void {
    const copy = Buffer.from(bytes);
    this.isWanted = this.sink!.take(copy);
    copy.fill(0xee);
  }
}

function open(): { body: SentBody; reader: EnvelopeReader } {
  const body = new SentBody();
  return { body, reader: new EnvelopeReader(body, maxBytes) };
}

function envelope(flags: number, data: Uint8Array, length = data.byteLength): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, data]);
}

async function readAll(reader: EnvelopeReader): Promise<{ flags: number; data: Buffer }[]> {
  const found = [];
  for (let next = await reader.next(); next; next = await reader.next()) {
    found.push({ flags: next.flags, data: Buffer.from(next.data) });
  }
  return found;
}

const anyEnvelope = fc.record({
  flags: fc.nat(255),
  // Small ones, and those that have a buffer of their own kind.
  data: fc.oneof(
    fc.uint8Array({ maxLength: 50 }),
    fc.integer({ min: 30_000, max: maxBytes }).map((length) => new Uint8Array(length).fill(length)),
  ),
});

test('however the network splits them, the same envelopes come out, in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyEnvelope, { maxLength: 8 }),
      fc.infiniteStream(
        fc.oneof(fc.integer({ min: 1, max: 7 }), fc.integer({ min: 1, max: 40_000 })),
      ),
      fc.boolean(),
      async (envelopes, sizes, isReadBefore) => {
        const { body, reader } = open();
        const early = isReadBefore ? readAll(reader) : undefined;
        const bytes = Buffer.concat(envelopes.map(({ flags, data }) => envelope(flags, data)));
        for (let sent = 0; sent < bytes.byteLength;) {
          const size = sizes.next().value;
          body.send(bytes.subarray(sent, sent + size));
          sent += size;
          await Promise.resolve();
        }
        body.sink!.end(undefined);
        const found = await (early ?? readAll(reader));
        expect(found).toEqual(
          envelopes.map(({ flags, data }) => ({ flags, data: Buffer.from(data) })),
        );
      },
    ),
    { numRuns: 50 },
  );
});

describe('a body that ends', () => {
  const whole = envelope(0, Buffer.from('whole'));

  test.each([
    ['within the head of an envelope', envelope(0, Buffer.from('cut')).subarray(0, 4)],
    ['within a message', envelope(0, Buffer.from('cut')).subarray(0, 7)],
    ['before the first byte of a message', envelope(0, Buffer.from('cut')).subarray(0, 5)],
  ])('%s gives what was whole, and then connect’s error', async (_, cut) => {
    const { body, reader } = open();
    body.send(Buffer.concat([whole, cut]));
    body.sink!.end(undefined);
    expect(String.fromCharCode(...((await reader.next())?.data ?? []))).toBe('whole');
    const error = await reader.next().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConnectError);
    expect(error).toMatchObject({
      code: Code.InvalidArgument,
      rawMessage: 'protocol error: incomplete envelope',
    });
  });

  test('by a break gives what was whole, and then why', async () => {
    const { body, reader } = open();
    const lost = new DarkroomError('CONNECTION_LOST', 'cut');
    body.send(Buffer.concat([whole, whole.subarray(0, 6)]));
    body.sink!.end(lost);
    expect(String.fromCharCode(...((await reader.next())?.data ?? []))).toBe('whole');
    await expect(reader.next()).rejects.toBe(lost);
    await expect(reader.next()).rejects.toBe(lost);
  });

  test('while a message is awaited says so at once', async () => {
    const { body, reader } = open();
    const next = reader.next();
    body.sink!.end(undefined);
    expect(await next).toBeUndefined();
    expect(await reader.next()).toBeUndefined();
  });
});

test('a message that is too large is refused by its head, after those before it; no byte more is taken', async () => {
  const { body, reader } = open();
  body.send(
    Buffer.concat([envelope(0, Buffer.from('a')), envelope(0, Buffer.alloc(0), maxBytes + 1)]),
  );
  expect(body.isWanted).toBe(false);
  expect(String.fromCharCode(...((await reader.next())?.data ?? []))).toBe('a');
  await expect(reader.next()).rejects.toMatchObject({
    code: Code.ResourceExhausted,
    rawMessage: `message size ${maxBytes + 1} is larger than configured readMaxBytes ${maxBytes}`,
  });
});

test.each([
  ['many small messages', envelope(0, Buffer.from('small')), 64],
  ['few large ones', envelope(0, Buffer.alloc(maxBytes)), 11],
])(
  'the client is held back by %s that wait, until they are asked for',
  async (_, message, most) => {
    const { body, reader } = open();
    let sent = 0;
    while (body.isWanted) {
      body.send(message);
      sent += 1;
    }
    expect(sent).toBe(most);
    await reader.next();
    expect(body.isWanted).toBe(true);
  },
);
