import { once } from 'node:events';
import * as http2 from 'node:http2';
import { serveFakes } from '../fake-server.ts';

/**
 * A program: sends 200 uploads whose first message is declared as 1 GiB to a server, and writes how many were refused and
 * by how many bytes its memory grew. In a process of its own, whose memory is that of nothing else.
 */
const server = await serveFakes({
  images: {
    async uploadImage(frames) {
      await Array.fromAsync(frames);
      return {};
    },
  },
});
const session = http2.connect(server.url);

/** Answers whether the call ended with RESOURCE_EXHAUSTED. */
async function isRefused(): Promise<boolean> {
  const stream = session.request({
    ':method': 'POST',
    ':path': '/darkroom.v1.ImageService/UploadImage',
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.resume();
  stream.write(Buffer.from([0, 0x40, 0, 0, 0]));
  const [trailers] = (await once(stream, 'trailers')) as [http2.IncomingHttpHeaders];
  return trailers['grpc-status'] === '8';
}

async function refusedOf(calls: number): Promise<number> {
  const refusals = await Promise.all(Array.from({ length: calls }, isRefused));
  return refusals.filter(Boolean).length;
}

// What is loaded and compiled at the first ones is not what a message costs.
await refusedOf(50);
const before = process.memoryUsage().rss;
const refused = await refusedOf(200);
const grownBytes = process.memoryUsage().rss - before;
session.destroy();
await server.close();
process.stdout.write(`${JSON.stringify({ refused, grownBytes })}\n`);
