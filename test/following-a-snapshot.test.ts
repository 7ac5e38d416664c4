import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { CleanUps } from './support/clean-ups.ts';
import { startProgram } from './support/programs.ts';
import { codeBlocks } from './support/readme.ts';
import { downloadBytes, startService, type RunningService } from './support/running-service.ts';
import { makeDataDir, repository } from './support/service-process.ts';

const address = '127.0.0.1:8080';
const cleanUps = new CleanUps();
const bytes = randomBytes(30_000_000);
let service: RunningService;
let script: string;

beforeAll(async () => {
  service = await startService({ DARKROOM_COMMIT_BYTES: '1048576' }, cleanUps.defer);
  const folder = await makeDataDir();
  cleanUps.defer(() => folder.remove());
  const disk = join(folder.path, 'disk.raw');
  await writeFile(disk, bytes);
  const guide = await readFile(join(repository, 'docs/following-a-snapshot.md'), 'utf8');
  const [block] = codeBlocks(guide);
  expect(block?.language).toBe('js');
  expect(block?.code).toContain(address);
  script = block!.code
    .replace(address, new URL(service.process.url).host)
    .replace("'disk.raw'", JSON.stringify(disk));
  return cleanUps.run;
});

test('the compute service of the guide runs as it stands, and goes on after its connections are cut', async () => {
  const running = startProgram(process.execPath, ['--input-type=module', '--eval', script]);
  const said = (): string => running.lines.join('\n');
  await expect.poll(said, { timeout: 30_000 }).toMatch(/began to upload/);
  // The service dies under it, and is there again at the same place.
  await service.process.kill('SIGKILL');
  await service.another({ DARKROOM_PORT: new URL(service.process.url).port });
  expect(await running.exited, running.errors()).toBe(0);
  const lines = running.lines;
  expect(lines[0]).toBe('2 DISK_UNREADABLE A sector of the disk is gone.');
  expect(lines.at(-2)).toMatch(/^\d+ {2}The image is ACTIVE with 30000000 bytes/);
  // Each revision of the second task once, and in order, across the break: from the one after that at which the watch began,
  // which is the first or, where the upload was quicker, the second.
  const revisions = lines.slice(1, -1).map((line) => Number(line.split(' ')[0]));
  const [first = 0] = revisions;
  expect([2, 3]).toContain(first);
  expect(revisions).toEqual(revisions.map((_, i) => i + first));
  const [, imageId, sha256] = /^image (\S+) has 30000000 bytes, sha256 (\S+)$/.exec(lines.at(-1)!)!;
  expect(sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
  const again = await service.another();
  expect((await downloadBytes(again.images, imageId!)).bytes.equals(bytes)).toBe(true);
});
