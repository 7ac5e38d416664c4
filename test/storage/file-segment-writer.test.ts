import { constants } from 'node:fs';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { newId, type SegmentId } from '../../src/records/ids.ts';
import { FileSegmentWriter } from '../../src/storage/file-segment-writer.ts';
import { darkroomErrorOf } from './blob-store-contract.ts';

test('a full disk leaves nothing of the write that it cut, so that zeros are zeros afterwards', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'darkroom-store-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const path = join(folder, 'file');
  const file = await open(path, constants.O_RDWR | constants.O_CREAT);
  onTestFinished(() => file.close());
  let room = 20_000;
  let isStuck = false;
  // A file of which only so much can be written, and that cannot be cut for a while either.
  const small = new Proxy(file, {
    get(target, property) {
      if (property === 'write') {
        return async (data: Uint8Array, start: number, length: number, position: number) => {
          if (room === 0) {
            throw Object.assign(new Error('no space'), { code: 'ENOSPC' });
          }
          const { bytesWritten } = await target.write(
            data,
            start,
            Math.min(length, room),
            position,
          );
          room -= bytesWritten;
          return { bytesWritten };
        };
      }
      if (property === 'truncate' && isStuck) {
        return () => Promise.reject(Object.assign(new Error('I/O'), { code: 'EIO' }));
      }
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const writer = new FileSegmentWriter(small, 0, {
    id: newId<SegmentId>(),
    syncName: () => Promise.resolve(),
  });
  await writer.append(Buffer.alloc(8192, 1));
  isStuck = true;
  expect(await darkroomErrorOf(writer.append(Buffer.alloc(16_384, 2)))).toMatchObject({
    reason: 'STORAGE_FULL',
  });
  expect((await stat(path)).size).toBe(20_000);
  room = 100_000;
  // The remains must go before anything else comes.
  expect(await darkroomErrorOf(writer.append(Buffer.alloc(4096)))).toMatchObject({
    reason: 'STORAGE_UNAVAILABLE',
  });
  expect(await darkroomErrorOf(writer.appendHole(4096))).toMatchObject({
    reason: 'STORAGE_UNAVAILABLE',
  });
  expect(writer.length).toBe(8192);
  isStuck = false;
  await writer.append(Buffer.alloc(8192));
  await writer.append(Buffer.alloc(4096, 3));
  const whole = Buffer.alloc(8192 + 8192 + 4096);
  await file.read(whole, 0, whole.length, 0);
  expect(
    whole.equals(Buffer.concat([Buffer.alloc(8192, 1), Buffer.alloc(8192), Buffer.alloc(4096, 3)])),
  ).toBe(true);
});

test('writes that are taken in pieces, or not at all, are noticed', async () => {
  const written: number[] = [];
  let most = 1000;
  const piecewise = {
    write: async (_: Uint8Array, start: number, length: number) => {
      written.push(start);
      return { bytesWritten: Math.min(length, most) };
    },
    truncate: () => Promise.resolve(),
  };
  const writer = new FileSegmentWriter(piecewise as never, 0, {
    id: newId<SegmentId>(),
    syncName: () => Promise.resolve(),
  });
  await writer.append(Buffer.alloc(2500, 1));
  expect(written).toEqual([0, 1000, 2000]);
  most = 0;
  expect(await darkroomErrorOf(writer.append(Buffer.alloc(1, 1)))).toMatchObject({
    reason: 'STORAGE_UNAVAILABLE',
  });
  expect(writer.length).toBe(2500);
});
