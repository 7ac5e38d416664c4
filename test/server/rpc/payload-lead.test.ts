import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  UploadChunkRequestSchema,
  UploadImageRequestSchema,
} from '../../../gen/darkroom/v1/image_service_pb.ts';
import { payloadLead } from '../../../src/server/rpc/payload-lead.ts';

const data = new Uint8Array(100_000).fill(0x0a);

function chunk(offset: bigint, bytes = data): Uint8Array {
  return toBinary(
    UploadImageRequestSchema,
    create(UploadImageRequestSchema, {
      frame: { case: 'chunk', value: { offset, data: bytes, crc32c: 7 } },
    }),
  );
}

function leadOf(message: Uint8Array, came = message.byteLength): number | undefined {
  return payloadLead(UploadImageRequestSchema, message.subarray(0, came), message.byteLength);
}

describe('the bytes before a payload', () => {
  test.each([0n, 1n, 1n << 20n, 1n << 40n])('are counted in a chunk at %d', (offset) => {
    const message = chunk(offset);
    expect(leadOf(message)).toBe(Buffer.from(message).indexOf(data));
  });

  test('are counted where the payload is a field of the message itself', () => {
    const message = toBinary(
      UploadChunkRequestSchema,
      create(UploadChunkRequestSchema, { taskId: 'a task', offset: 5n, data }),
    );
    expect(payloadLead(UploadChunkRequestSchema, message, message.byteLength)).toBe(
      Buffer.from(message).indexOf(data),
    );
  });

  test('are known as soon as the payload’s first byte may come, and not before', () => {
    const message = chunk(1n << 30n);
    const lead = Buffer.from(message).indexOf(data);
    for (let came = 0; came < 100; came += 1) {
      expect(leadOf(message, came)).toBe(came < lead ? undefined : lead);
    }
  });

  test('are none where there is no payload', () => {
    const header = toBinary(
      UploadImageRequestSchema,
      create(UploadImageRequestSchema, { frame: { case: 'header', value: { taskId: 'x' } } }),
    );
    expect(leadOf(header)).toBe(0);
    expect(leadOf(new Uint8Array(0))).toBe(0);
  });

  test('are no more than what was looked at, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(1 << 20), (begin, more) => {
        const lead = payloadLead(UploadImageRequestSchema, begin, begin.byteLength + more);
        expect(lead ?? 0).toBeLessThanOrEqual(64);
        expect(lead ?? 0).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 2000 },
    );
  });
});
