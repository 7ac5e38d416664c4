import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, readlink } from 'node:fs/promises';
import * as http from 'node:http';
import * as net from 'node:net';
import { once } from 'node:events';
import { buffer } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { uploadFrames, type RunningService } from '../../support/running-service.ts';
import { makeUpload } from './fixtures.ts';

/** An image that has its bytes. */
export interface StoredImage {
  readonly id: string;
  /** Where its bytes can be read. */
  readonly path: string;
  readonly bytes: Buffer;
  readonly sha256: string;
  /** As it stands in the header. */
  readonly etag: string;
}

/** Uploads bytes as a new image. */
export async function storeImage(service: RunningService, bytes: Buffer): Promise<StoredImage> {
  const { imageId: id, taskId } = await makeUpload(service);
  await service.images.uploadImage(uploadFrames(bytes, { taskId }));
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  return { id, path: `/v2/images/${id}/file`, bytes, sha256, etag: `"${sha256}"` };
}

/** Bytes of which some parts are zeros: too few to be told as such, and more than are told at once. */
export function bytesWithHoles(): Buffer {
  const MiB = 1024 * 1024;
  return Buffer.concat([
    randomBytes(1_500_000),
    Buffer.alloc(100_000),
    randomBytes(300_001),
    Buffer.alloc(40 * MiB),
    randomBytes(70_000),
    Buffer.alloc(123_456),
  ]);
}

/** An answer of HTTP/1.1, read whole. */
export interface FileAnswer {
  readonly status: number | undefined;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  /** Whether the request went out on a connection that had served another one. */
  readonly reused: boolean;
}

/** Asks over HTTP/1.1 and reads the answer whole. Fails where it breaks off. */
export async function ask(
  service: RunningService,
  path: string,
  options: http.RequestOptions = {},
): Promise<FileAnswer> {
  const request = http.request(service.process.url + path, options).end();
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  const body = await buffer(response);
  const { statusCode: status, headers } = response;
  return { status, headers, body, reused: request.reusedSocket };
}

/** A connection on which requests were sent, and of whose answers only the first bytes were looked at. */
export async function stalledReader(
  service: RunningService,
  path: string,
  requests = 1,
): Promise<net.Socket> {
  const { hostname, port } = new URL(service.process.url);
  const socket = net.connect(Number(port), hostname);
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {});
  socket.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`.repeat(requests));
  // Node then reads a little ahead, and no more.
  await once(socket, 'readable');
  return socket;
}

/** The first answer that comes on a connection, or what comes of it. Closes the connection. */
export async function answerOn(
  socket: net.Socket,
): Promise<{ readonly head: string; readonly body: Buffer }> {
  const parts: Buffer[] = [];
  let missing = Infinity;
  try {
    for await (const part of socket as AsyncIterable<Buffer>) {
      parts.push(part);
      if (parts.length === 1) {
        const head = part.subarray(0, part.indexOf('\r\n\r\n') + 4).toString();
        missing = head.length + Number(/^content-length: (\d+)\r$/m.exec(head)?.[1]);
      }
      missing -= part.length;
      if (missing <= 0) {
        break;
      }
    }
  } catch {
    // A connection that breaks is told by what is missing.
  }
  const all = Buffer.concat(parts);
  const end = all.indexOf('\r\n\r\n') + 4;
  return { head: all.subarray(0, end).toString(), body: all.subarray(end) };
}

/** The segments that the service's process has open. */
export async function openSegments({ process, dataDir }: RunningService): Promise<string[]> {
  const folder = `/proc/${process.pid}/fd`;
  const open: string[] = [];
  for (const name of await readdir(folder)) {
    // One that was closed meanwhile cannot be read.
    const target = await readlink(`${folder}/${name}`).catch(() => '');
    if (target.startsWith(`${dataDir}/blobs/`)) {
      open.push(target);
    }
  }
  return open;
}

/** The memory that the service's process holds, in bytes. */
export async function residentBytes({ process }: RunningService): Promise<number> {
  const status = await readFile(`/proc/${process.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}
