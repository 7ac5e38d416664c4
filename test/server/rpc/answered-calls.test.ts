import { expect, onTestFinished, test, vi } from 'vitest';
import { patience } from '../../support/held-upload.ts';
import { envelope, rawPost } from '../../support/raw-http.ts';
import { startFakeServer } from '../fake-server.ts';

/** Timers that are set and not cleared, from now on. */
function timersLeft(): () => number {
  const left = new Set<unknown>();
  const { setInterval: set, clearInterval: clear } = globalThis;
  const setting = vi
    .spyOn(globalThis, 'setInterval')
    .mockImplementation((...args: Parameters<typeof set>) => {
      const timer = set(...args);
      left.add(timer);
      return timer;
    });
  const clearing = vi.spyOn(globalThis, 'clearInterval').mockImplementation((timer) => {
    left.delete(timer);
    clear(timer);
  });
  onTestFinished(() => {
    setting.mockRestore();
    clearing.mockRestore();
  });
  return () => left.size;
}

const grpc = 'application/grpc';
const connect = 'application/proto';
const json = 'application/json';
/** A field of five bytes, of which none comes. */
const malformed = Buffer.from('0a05', 'hex');

test.each([
  ['sound, gRPC', grpc, envelope(Buffer.alloc(0))],
  ['sound, Connect', connect, Buffer.alloc(0)],
  ['malformed, gRPC', grpc, envelope(malformed)],
  ['malformed, Connect', connect, malformed],
  ['malformed JSON', json, Buffer.from('{')],
  ['two messages', grpc, Buffer.concat([envelope(malformed), envelope(malformed)])],
  ['half a message', grpc, envelope(malformed).subarray(0, 6)],
  ['compressed', grpc, envelope(malformed, { flags: 1 })],
  ['too large', grpc, envelope(Buffer.alloc(3_000_000))],
  ['of another type', 'application/grpc+thrift', malformed],
])('nothing is left of a call that was answered: %s', async (_, contentType, body) => {
  const server = await startFakeServer({ images: { deleteImage: () => ({}) } });
  const left = timersLeft();
  for (let i = 0; i < 5; i += 1) {
    await rawPost(server.url, '/darkroom.v1.ImageService/DeleteImage', contentType, body);
  }
  // Long before a silent sender would be given up.
  await expect.poll(left, patience).toBe(0);
});
