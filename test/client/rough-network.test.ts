import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { Image_DiskFormat, Image_State } from '../../gen/darkroom/v1/image_pb.ts';
import { createDarkroomClient as createInBrowser } from '../../src/client/browser.ts';
import type { DarkroomClient } from '../../src/client/darkroom-client.ts';
import { DarkroomError, type UploadSource } from '../../src/client/exports.ts';
import { grpcJsTransport } from '../../src/client/grpc-js-transport.ts';
import { createDarkroomClient } from '../../src/client/node.ts';
import { CleanUps } from '../support/clean-ups.ts';
import { downloadBytes, startService, type RunningService } from '../support/running-service.ts';
import { RoughProxy, type Roughness } from './rough-proxy.ts';

const image = { name: 'disk', diskFormat: Image_DiskFormat.RAW };
const block = 64 * 1024;
const numRuns = 25;

/** Nothing is waited for for long. */
const retry = {
  firstDelayMs: 5,
  longestDelayMs: 100,
  giveUpAfterMs: 20_000,
  giveUpWithoutProgressMs: 40_000,
  deadAfterMs: 900,
};
const options = { retry, callTimeoutMs: 900 };

const clients: Readonly<Record<string, (endpoint: string) => DarkroomClient>> = {
  'connect-node': (endpoint) => createDarkroomClient({ ...options, endpoint }),
  'grpc-js': (endpoint) => {
    const transport = grpcJsTransport({
      endpoint,
      connectTimeoutMs: 500,
      channelOptions: { 'grpc.keepalive_time_ms': 600, 'grpc.keepalive_timeout_ms': 300 },
    });
    const client = createDarkroomClient({ ...options, transport });
    return {
      ...client,
      close: () => {
        client.close();
        transport.close();
      },
    };
  },
  fetch: (endpoint) => createInBrowser({ ...options, endpoint }),
};

let service: RunningService;

beforeAll(async () => {
  const cleanUps = new CleanUps();
  service = await startService({ DARKROOM_COMMIT_INTERVAL_MS: '20' }, cleanUps.defer);
  return cleanUps.run;
});

/** Images of blocks that differ from each other or are zeros, with an end that is no whole block. */
const images = fc
  .record({
    blocks: fc.array(
      fc.nat({ max: 255 }).map((byte) => (byte < 80 ? 0 : byte)),
      {
        maxLength: 30,
      },
    ),
    rest: fc.nat({ max: block - 1 }),
  })
  .map(({ blocks, rest }) =>
    Buffer.concat([
      ...blocks.map((byte, at) =>
        Buffer.alloc(block, byte === 0 ? Buffer.of(0) : `${at} ${byte} `),
      ),
      Buffer.alloc(rest, 'the end'),
    ]),
  );

const direction = fc.constantFrom('up' as const, 'down' as const);
const at = fc.oneof(fc.nat({ max: 2_000 }), fc.nat({ max: 300_000 }));

const roughness: fc.Arbitrary<Roughness> = fc.oneof(
  fc.constant({ kind: 'refuse' as const }),
  fc.record({ kind: fc.constant('cut' as const), direction, at }),
  fc.record({ kind: fc.constant('swallow' as const), direction, at }),
  fc.record({ kind: fc.constant('half-close' as const), direction, at }),
  fc.record({ kind: fc.constant('double' as const), direction, at }),
  fc.record({ kind: fc.constant('delay' as const), delayMs: fc.nat({ max: 30 }) }),
  fc.record({
    kind: fc.constant('throttle' as const),
    bytes: fc.integer({ min: 4_000, max: 60_000 }),
    pauseMs: fc.nat({ max: 3 }),
  }),
);

function sourceOf(kind: 'seekable' | 'stream', bytes: Buffer): UploadSource {
  return kind === 'seekable'
    ? new Blob([bytes])
    : Readable.from(
        Array.from({ length: Math.ceil(bytes.length / 50_000) }, (_, at) =>
          bytes.subarray(at * 50_000, (at + 1) * 50_000),
        ),
      );
}

describe.each(Object.entries(clients))('over a rough network, by %s,', (_, connect) => {
  test('every upload ends ACTIVE with the same bytes, or with a typed error', async () => {
    let active = 0;
    let resumes = 0;
    const failed: string[] = [];
    await using proxy = await RoughProxy.open(service.process.url);
    await fc.assert(
      fc.asyncProperty(
        images,
        fc.array(roughness, { minLength: 1, maxLength: 4 }),
        fc.constantFrom('seekable' as const, 'stream' as const),
        async (bytes, plan, kind) => {
          // Connections that were left open by the run before would not meet it.
          proxy.cutAll();
          proxy.plan(plan);
          const client = connect(proxy.url);
          try {
            const result = await client.uploadImage(sourceOf(kind, bytes), {
              image,
              chunkBytes: 2 * block,
            });
            const sha256 = createHash('sha256').update(bytes).digest('hex');
            expect(result).toMatchObject({
              image: { state: Image_State.ACTIVE, sha256, sizeBytes: BigInt(bytes.length) },
              sha256,
            });
            const stored = await downloadBytes(service.images, result.image.id);
            expect(stored.bytes.equals(bytes)).toBe(true);
            active += 1;
            resumes += result.resumes;
          } catch (error) {
            if (!(error instanceof DarkroomError)) {
              throw error;
            }
            failed.push(`${error.reason}: ${error.message} ${JSON.stringify(plan)}`);
          } finally {
            client.close();
          }
        },
      ),
      { numRuns, endOnFailure: true },
    );
    // The network is good in the end, so that hardly anything need fail.
    expect({ active, failed }).toEqual({ active: numRuns, failed: [] });
    expect(resumes).toBeGreaterThan(2);
  });
});
