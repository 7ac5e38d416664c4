import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { hasProgram } from '../../support/disk-images.ts';
import { runProgram, type ProgramResult } from '../../support/programs.ts';
import { bytesWithHoles, storeImage, type StoredImage } from './file-fixtures.ts';
import { sharedService } from './fixtures.ts';

describe.skipIf(!hasProgram('curl', 'curl'))('curl', () => {
  const service = sharedService();
  let image: StoredImage;
  beforeAll(async () => {
    image = await storeImage(service(), bytesWithHoles());
  });

  async function inFolder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'darkroom-curl-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    return join(folder, 'image');
  }

  function curl(...args: readonly string[]): Promise<ProgramResult> {
    return runProgram('curl', ['-sSf', ...args, service().process.url + image.path]);
  }

  test.each(['--http1.1', '--http1.0', '--http2-prior-knowledge'])('%s brings it', async (http) => {
    const file = await inFolder();
    expect(await curl(http, '-o', file)).toEqual({ code: 0, output: '', errors: '' });
    expect((await readFile(file)).equals(image.bytes)).toBe(true);
  });

  test.each(['--http1.1', '--http2-prior-knowledge'])('%s -r brings a range', async (http) => {
    const file = await inFolder();
    expect((await curl(http, '-r', '1500000-1999999', '-o', file)).code).toBe(0);
    const bytes = image.bytes.subarray(1_500_000, 2_000_000);
    expect((await readFile(file)).equals(bytes)).toBe(true);
  });

  test('-C - goes on where a download broke off', async () => {
    const file = await inFolder();
    await writeFile(file, image.bytes.subarray(0, 12_345_678));
    expect((await curl('-C', '-', '-o', file)).code).toBe(0);
    expect((await readFile(file)).equals(image.bytes)).toBe(true);
  });

  test('--etag-compare does not fetch again what it has', async () => {
    const etag = await inFolder();
    expect((await curl('--etag-save', etag, '-o', '/dev/null')).code).toBe(0);
    const again = [
      '--etag-compare',
      etag,
      '-o',
      '/dev/null',
      '-w',
      '%{http_code} %{size_download}',
    ];
    expect((await curl(...again)).output).toBe('304 0');
  });
});
