import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where a file is had by GET. */
export interface GetOrder {
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Reads a file with curl, which drops it. @throws where the answer is none of success. */
export async function curlGet({
  url,
  headers = {},
}: GetOrder): Promise<{ readonly seconds: number; readonly bytes: number }> {
  const format = '%{time_total} %{size_download}';
  const { stdout } = await run('curl', [...quiet(format), ...headerArguments(headers), url]);
  const [seconds = Number.NaN, bytes = Number.NaN] = stdout.split(' ').map(Number);
  return { seconds, bytes };
}

/** How a file is sent. */
export interface CurlOrder {
  readonly method: 'PUT' | 'PATCH';
  readonly url: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends a file with curl. Answers how long that took, in seconds. @throws where the answer is none of success. */
export async function curlFile({ method, url, path, headers = {} }: CurlOrder): Promise<number> {
  // Without a wait for leave to send.
  const given = headerArguments({ Expect: '', ...headers });
  const sent = ['-X', method, '-T', path, url];
  const { stdout } = await run('curl', [...quiet('%{time_total}'), ...given, ...sent]);
  return Number(stdout);
}

function quiet(format: string): string[] {
  return ['-sS', '-f', '-o', '/dev/null', '-w', format];
}

function headerArguments(headers: Readonly<Record<string, string>>): string[] {
  return Object.entries(headers).flatMap(([name, value]) => [
    '-H',
    `${name}:${value && ` ${value}`}`,
  ]);
}
