import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A service that lists images by OpenStack's Image API. */
export interface PageTarget {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** By which it knows its caller. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Makes images with what images mostly have, and removes them when `work` has ended. */
export async function withImages(
  target: PageTarget,
  count: number,
  work: () => Promise<void>,
): Promise<void> {
  const ids: string[] = [];
  try {
    for (let i = 0; i < count; i += 1) {
      const { id } = (await call(target, 'POST', '/v2/images', {
        name: `image ${i}`,
        disk_format: 'qcow2',
        container_format: 'bare',
        visibility: 'private',
        tags: ['bench'],
        os_distro: 'debian',
        os_version: '12',
      })) as { id: string };
      ids.push(id);
    }
    await work();
  } finally {
    for (const id of ids) {
      await call(target, 'DELETE', `/v2/images/${id}`);
    }
  }
}

/**
 * How many pages of a list a service answers in a second, to 16 callers at the same time, by `h2load`.
 *
 * @throws where an answer is none of success, or another page than was asked for.
 */
export async function pagesPerSecond(
  target: PageTarget,
  limit: number,
  seconds: number,
): Promise<number> {
  const path = `/v2/images?limit=${limit}`;
  const { images } = (await call(target, 'GET', path)) as { images: unknown[] };
  if (images.length !== limit) {
    throw new Error(`${target.name} has answered ${images.length} images, not ${limit}`);
  }
  const headers = { ...target.headers, accept: 'application/json' };
  const { stdout } = await run('h2load', [
    '--h1',
    '-c',
    '16',
    '-D',
    String(seconds),
    ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
    `${target.url}${path}`,
  ]);
  const [, rate] = /^finished in .*?, ([\d.]+) req\/s/m.exec(stdout) ?? [];
  const [, done, wrong] = /, (\d+) done, \d+ succeeded, (\d+) failed, 0 errored/.exec(stdout) ?? [];
  if (rate === undefined || done === undefined || wrong !== '0') {
    throw new Error(`h2load tells of failures of ${target.name}:\n${stdout}`);
  }
  return Number(rate);
}

/** Whether the program that asks for pages is installed. */
export async function hasLoadProgram(): Promise<boolean> {
  return (await run('h2load', ['--version']).catch(() => undefined)) !== undefined;
}

async function call(
  { name, url, headers }: PageTarget,
  method: string,
  path: string,
  body?: object,
): Promise<unknown> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { ...headers, 'Content-Type': 'application/json' },
    ...(body && { body: JSON.stringify(body) }),
  });
  if (!response.ok) {
    throw new Error(`${name} answered ${method} ${path} with ${response.status}`);
  }
  return response.status === 204 ? undefined : await response.json();
}
