import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, onTestFinished, test } from 'vitest';
import { roomyFolder } from '../../../src/database/embedded-postgres/throwaway.ts';
import { defaultCaller } from '../../../src/access/caller.ts';
import type { Compression } from '../../../src/formats/compression.ts';
import type { Fault } from '../../../src/records/fault.ts';
import type { TaskId } from '../../../src/records/ids.ts';
import { compressed, compressions } from '../../formats/compressors.ts';
import { useDatabase } from '../../support/test-database.ts';
import {
  chunk,
  connection,
  download,
  finish,
  framesOf,
  header,
  openUploadWorld,
  queueImage,
  readFaults,
  readImage,
  readTask,
  sha256,
  type UploadWorld,
} from '../../support/upload-world.ts';

const database = useDatabase();

/** What damaged bytes are refused with: those that begin as nothing that can be unpacked are of another format. */
const refusals = new Set(['COMPRESSION_INVALID', 'FORMAT_MISMATCH']);

/** Bytes that do not get smaller, the same for the same seed. */
function noise(seed: number, size: number): Buffer {
  return createHash('shake256', { outputLength: size }).update(String(seed)).digest();
}

const run = fc.record({
  isZeros: fc.boolean(),
  seed: fc.nat(),
  size: fc.oneof(fc.integer({ min: 1, max: 150_000 }), fc.constantFrom(65_536, 131_072)),
});

/** What happens to the compressed bytes on their way to the client that sends them. */
const damage = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: 'none' } as const) },
  fc.record({ kind: fc.constant('cut' as const), by: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant('cut in half' as const) }),
  fc.record({
    kind: fc.constant('changed' as const),
    at: fc.nat(),
    to: fc.integer({ min: 1, max: 255 }),
  }),
  fc.record({
    kind: fc.constant('followed' as const),
    by: fc.uint8Array({ minLength: 1, maxLength: 40 }),
  }),
);

type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never;

function damaged(bytes: Buffer, what: Damage): Buffer {
  switch (what.kind) {
    case 'none':
      return bytes;
    case 'cut':
      return bytes.subarray(0, Math.max(1, bytes.length - what.by));
    case 'cut in half':
      return bytes.subarray(0, Math.ceil(bytes.length / 2));
    case 'changed': {
      const changed = Buffer.from(bytes);
      const at = what.at % bytes.length;
      changed[at] = changed[at]! ^ what.to;
      return changed;
    }
    case 'followed':
      return Buffer.concat([bytes, what.by]);
  }
}

const upload = fc.record({
  compression: fc.constantFrom(...compressions),
  /** What each member of the compressed bytes has inside: they may be several, one after the other. */
  members: fc.array(fc.array(run, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 }),
  damage,
  /** Where streams end without a finish, in thousandths of the bytes, and whether the next one is another process's. */
  breaks: fc.array(fc.record({ at: fc.nat(1000), elsewhere: fc.boolean() }), { maxLength: 3 }),
  chunkBytes: fc.integer({ min: 1000, max: 262_144 }),
  statesDigest: fc.boolean(),
});

/** Sends all bytes, in as many streams as there are breaks and one more. What the last one ends with is not told. */
async function send(
  worlds: readonly UploadWorld[],
  taskId: TaskId,
  bytes: Buffer,
  { breaks, chunkBytes, statesDigest }: typeof upload extends fc.Arbitrary<infer T> ? T : never,
): Promise<void> {
  const ends = breaks
    .map(({ at }) => Math.floor((bytes.length * at) / 1000))
    .toSorted((a, b) => a - b);
  let from = 0;
  let epoch: number | undefined;
  let world = worlds[0]!;
  for (const [index, end] of [...ends, bytes.length].entries()) {
    const chunks = [];
    for (let at = from; at < end; at += chunkBytes) {
      chunks.push(chunk(at, bytes.subarray(at, Math.min(end, at + chunkBytes))));
    }
    const isLast = index === ends.length;
    const claim = finish(bytes.length, statesDigest ? sha256(bytes) : undefined);
    const frames = framesOf(header(taskId, epoch), ...chunks, ...(isLast ? [claim] : []));
    const received = world.uploads.receive(defaultCaller, frames, connection());
    // Bytes that are of no known format are refused as soon as they are seen.
    const outcome = await received.catch(() => undefined);
    if (isLast || outcome === undefined) {
      return;
    }
    expect(outcome.committedSize).toBe(end);
    if (breaks[index]?.elsewhere === true) {
      world = worlds[1]!;
    }
    const resumed = await world.uploads.resume(defaultCaller, taskId, 'test');
    ({ committedSize: from, writerEpoch: epoch } = resumed);
  }
}

test('whatever comes compressed becomes exactly what is inside, or fails with a reason', async () => {
  const folder = await mkdtemp(join(await roomyFolder(), 'darkroom-unpacking-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const worlds = [
    await openUploadWorld(database(), { folder }),
    await openUploadWorld(database(), { folder }),
  ];
  const outcomes: Record<string, number> = {};
  await fc.assert(
    fc.asyncProperty(upload, async (one) => {
      const inside = one.members.map((runs) =>
        Buffer.concat(
          runs.map(({ isZeros, seed, size }) => (isZeros ? Buffer.alloc(size) : noise(seed, size))),
        ),
      );
      const members = inside.map((part) => compressed(one.compression, part));
      const packed = Buffer.concat(members);
      const bytes = damaged(packed, one.damage);
      const { imageId, taskId } = await queueImage(database(), { decompress: true });
      await send(worlds, taskId, bytes, one);

      // Cut between two members, what is left is whole: nobody but the client can know that there was more.
      const left = members.findIndex((_, n) => Buffer.concat(members.slice(0, n)).equals(bytes));
      const content = Buffer.concat(left === -1 ? inside : inside.slice(0, left));
      const image = await readImage(database(), imageId);
      const task = await readTask(database(), taskId);
      if (image.state === 'ACTIVE') {
        // A change may lie in what nobody unpacks, such as the time in a gzip's head.
        expect(image).toMatchObject({
          sizeBytes: content.length,
          sha256: sha256(content),
          packedFormat: one.compression satisfies Compression,
          packedSizeBytes: bytes.length,
          packedSha256: sha256(bytes),
        });
        expect((await download(worlds[0]!, imageId)).equals(content)).toBe(true);
        expect(task.state).toBe('SUCCEEDED');
      } else {
        expect(one.damage.kind).not.toBe('none');
        expect(image).toMatchObject({ state: 'QUEUED', outlook: 'NOT_COMING' });
        expect(task.state).toBe('FAILED');
        const faults = await readFaults(database(), taskId);
        expect(faults.at(-1)).toSatisfy(
          ({ fatal, reason }: Fault) => fatal && refusals.has(reason),
        );
      }
      const outcome = `${one.damage.kind}: ${image.state}`;
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    }),
    { numRuns: 40 },
  );
  // A damage that is never noticed, or bytes that never become an image, would be a test of nothing.
  expect(outcomes['none: ACTIVE']).toBeGreaterThan(0);
  expect(Object.keys(outcomes).some((name) => name.endsWith('QUEUED'))).toBe(true);
}, 120_000);
