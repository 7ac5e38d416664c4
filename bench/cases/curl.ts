import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

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
  const given = Object.entries({ Expect: '', ...headers }).flatMap(([name, value]) => [
    '-H',
    `${name}:${value && ` ${value}`}`,
  ]);
  const format = '%{time_total}';
  const sent = ['-X', method, '-T', path, url];
  const args = ['-sS', '-f', '-o', '/dev/null', '-w', format, ...given, ...sent];
  const { stdout } = await run('curl', args);
  return Number(stdout);
}
