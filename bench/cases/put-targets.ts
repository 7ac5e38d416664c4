import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { keepTrackOf, type Stage } from '../stage/stage.ts';

const run = promisify(execFile);

/** A server that takes a file by PUT. */
export interface PutTarget {
  readonly name: string;
  readonly pid: number;
  /** Uploads a file with curl, and looks whether it came whole. Answers how long curl took, in seconds. */
  put(file: PutFile): Promise<number>;
}

/** What is uploaded. */
export interface PutFile {
  readonly path: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha512: string;
}

/** A Glance 25 that trusts the headers of its caller, as behind an identity proxy. */
export function glanceTarget({ url, pid }: { url: string; pid: number }): PutTarget {
  const headers = {
    'X-Identity-Status': 'Confirmed',
    'X-User-Id': 'bench',
    'X-Project-Id': 'bench',
    'X-Roles': 'admin,member,reader',
  };
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
    name: 'Glance',
    pid,
    async put({ path, bytes, sha512 }) {
      const { id } = (await call('POST', '/v2/images', {
        name: 'bench',
        disk_format: 'raw',
        container_format: 'bare',
      })) as { id: string };
      const seconds = await curlPut(`${url}/v2/images/${id}/file`, path, {
        ...headers,
        'Content-Type': 'application/octet-stream',
      });
      const image = (await call('GET', `/v2/images/${id}`)) as Record<string, unknown>;
      if (
        image['status'] !== 'active' ||
        image['size'] !== bytes ||
        image['os_hash_value'] !== sha512
      ) {
        throw new Error(`Glance has another image than was sent: ${JSON.stringify(image)}`);
      }
      await call('DELETE', `/v2/images/${id}`);
      return seconds;
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
    async put({ path, bytes }) {
      const seconds = await curlPut(`${url}/file`, path, {});
      const kept = join(files, 'file');
      if ((await stat(kept)).size !== bytes) {
        throw new Error('nginx has another file than was sent');
      }
      await rm(kept);
      return seconds;
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

/** Answers how long it took, in seconds. @throws where the answer is none of success. */
async function curlPut(
  url: string,
  path: string,
  headers: Readonly<Record<string, string>>,
): Promise<number> {
  const given = Object.entries({ Expect: '', ...headers }).flatMap(([name, value]) => [
    '-H',
    `${name}:${value && ` ${value}`}`,
  ]);
  const format = '%{time_total}';
  const args = ['-sS', '-f', '-o', '/dev/null', '-w', format, ...given, '-T', path, url];
  const { stdout } = await run('curl', args);
  return Number(stdout);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
