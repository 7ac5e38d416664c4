import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { TusServer } from '../peers/tus-server.ts';
import { startScript } from '../stage/script.ts';
import { keepTrackOf, type Stage } from '../stage/stage.ts';
import { curlFile, type GetOrder } from './curl.ts';
import { createUpload, imageClient } from './images.ts';
import { sha256OfFile, sha256OfUrl } from './kept-bytes.ts';

const run = promisify(execFile);

/** A server that takes a file over HTTP/1.1. */
export interface PutTarget {
  readonly name: string;
  readonly pid: number;
  /** Uploads a file with curl. */
  put(file: PutFile): Promise<PutOutcome>;
}

/** What is uploaded. */
export interface PutFile {
  readonly path: string;
  readonly bytes: number;
}

/** What became of it. */
export interface PutOutcome {
  /** How long curl took. */
  readonly seconds: number;
  /** The sha256 of what the server keeps. */
  kept(): Promise<string>;
  /** Where it is had again; undefined where the server gives nothing out. */
  readonly file?: GetOrder;
  clear(): Promise<void>;
}

/** The service, by OpenStack's Image API. */
export function darkroomPutTarget({ url, pid }: { url: string; pid: number }): PutTarget {
  const images = imageClient(url);
  return {
    name: 'Darkroom, PUT',
    pid,
    async put({ path }) {
      const { imageId } = await createUpload(images);
      const file = `${url}/v2/images/${imageId}/file`;
      const headers = { 'Content-Type': 'application/octet-stream' };
      const seconds = await curlFile({ method: 'PUT', url: file, path, headers });
      return {
        seconds,
        kept: () => sha256OfUrl(file),
        file: { url: file },
        clear: async () => void (await images.deleteImage({ imageId })),
      };
    },
  };
}

/** Whom a Glance takes its caller for, where it trusts him. */
export const glanceCaller = {
  'X-Identity-Status': 'Confirmed',
  'X-User-Id': 'bench',
  'X-Project-Id': 'bench',
  'X-Roles': 'admin,member,reader',
};

/** A Glance 25 that trusts the headers of its caller, as behind an identity proxy. */
export function glanceTarget({ url, pid }: { url: string; pid: number }): PutTarget {
  const headers = glanceCaller;
  const call = async (method: string, path: string, body?: object): Promise<unknown> => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { ...headers, 'Content-Type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (!response.ok) {
      throw new Error(`Glance answered ${method} ${path} with ${response.status}`);
    }
    return response.status === 204 ? undefined : await response.json();
  };
  return {
    name: 'Glance, PUT',
    pid,
    async put({ path }) {
      const { id } = (await call('POST', '/v2/images', {
        name: 'bench',
        disk_format: 'raw',
        container_format: 'bare',
      })) as { id: string };
      const file = `${url}/v2/images/${id}/file`;
      const seconds = await curlFile({
        method: 'PUT',
        url: file,
        path,
        headers: { ...headers, 'Content-Type': 'application/octet-stream' },
      });
      const image = (await call('GET', `/v2/images/${id}`)) as Record<string, unknown>;
      if (image['status'] !== 'active') {
        throw new Error(`Glance has an image that is not active: ${JSON.stringify(image)}`);
      }
      return {
        seconds,
        kept: () => sha256OfUrl(file, headers),
        file: { url: file, headers },
        clear: async () => void (await call('DELETE', `/v2/images/${id}`)),
      };
    },
  };
}

/** nginx with its module for WebDAV, which keeps the file and looks at nothing; undefined where it is not installed. */
export async function nginxTarget(stage: Stage): Promise<PutTarget | undefined> {
  const program = 'nginx';
  if (!(await run(program, ['-v']).catch(() => undefined))) {
    return undefined;
  }
  const folder = join(stage.folder, 'nginx');
  const files = join(folder, 'files');
  await mkdir(files, { recursive: true });
  const port = await freePort();
  const config = join(folder, 'nginx.conf');
  await writeFile(
    config,
    `daemon off; pid ${folder}/pid; error_log ${folder}/error.log; worker_processes auto;
     user root;
     events {}
     http { access_log off; client_body_temp_path ${folder}/body; client_max_body_size 0;
       server { listen 127.0.0.1:${port}; location / { root ${files}; dav_methods PUT DELETE; } } }`,
  );
  const child = spawn(program, ['-c', config, '-p', folder], { stdio: 'ignore', detached: true });
  keepTrackOf(child);
  const exited = once(child, 'exit');
  stage.defer(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  const url = `http://127.0.0.1:${port}`;
  while (!(await fetch(url).catch(() => undefined))) {
    await delay(20);
  }
  return {
    name: 'nginx PUT, no digest',
    pid: child.pid ?? 0,
    async put({ path }) {
      const seconds = await curlFile({ method: 'PUT', url: `${url}/file`, path });
      return { ...outcomeInFile(seconds, join(files, 'file')), file: { url: `${url}/file` } };
    },
  };
}

/**
 * A tus server on files.
 *
 * @param packages a folder into which `@tus/server` and `@tus/file-store` were installed.
 */
export async function tusTarget(stage: Stage, packages: string): Promise<PutTarget> {
  const server = startScript<TusServer>(stage, new URL('../peers/tus-server.ts', import.meta.url));
  const files = join(stage.folder, 'tus');
  await mkdir(files);
  const url = await server.ask('listen', { packages, files });
  const version = { 'Tus-Resumable': '1.0.0' };
  return {
    name: 'tus, no digest',
    pid: server.pid,
    async put({ path, bytes }) {
      const { status, headers } = await fetch(url, {
        method: 'POST',
        headers: { ...version, 'Upload-Length': String(bytes) },
      });
      const made = headers.get('location');
      if (status !== 201 || made === null) {
        throw new Error(`tus answered the making of an upload with ${status}`);
      }
      const seconds = await curlFile({
        method: 'PATCH',
        url: new URL(made, url).href,
        path,
        headers: {
          ...version,
          'Upload-Offset': '0',
          'Content-Type': 'application/offset+octet-stream',
        },
      });
      return outcomeInFile(seconds, join(files, made.slice(made.lastIndexOf('/') + 1)));
    },
  };
}

/** Makes a file that begins with `content` again and again. */
export async function makeFile(path: string, content: Uint8Array, bytes: number): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (let offset = 0; offset < bytes; offset += content.byteLength) {
      await file.write(content, 0, Math.min(content.byteLength, bytes - offset));
    }
  } finally {
    await file.close();
  }
}

function outcomeInFile(seconds: number, path: string): PutOutcome {
  return { seconds, kept: () => sha256OfFile(path), clear: () => rm(path) };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
