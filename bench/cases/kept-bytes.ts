import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** The sha256 of a file, hex. */
export function sha256OfFile(path: string): Promise<string> {
  return sha256Of(createReadStream(path, { highWaterMark: 1024 * 1024 }));
}

/** The sha256 of what is answered to a GET, hex. @throws where the answer is none of success. */
export async function sha256OfUrl(
  url: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  const response = await fetch(url, { headers });
  if (!response.ok || !response.body) {
    throw new Error(`GET ${url} was answered with ${response.status}`);
  }
  return sha256Of(Readable.fromWeb(response.body));
}

async function sha256Of(bytes: Readable): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(bytes, hash);
  return hash.digest('hex');
}
