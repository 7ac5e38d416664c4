import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { runProgram } from '../support/programs.ts';
import { codeBlocks } from '../support/readme.ts';
import { startService } from '../support/running-service.ts';
import { makeDataDir, repository } from '../support/service-process.ts';

test('the examples of docs/client.md run as they stand, one after the other', async () => {
  const service = await startService();
  const folder = await makeDataDir();
  onTestFinished(() => folder.remove());
  await writeFile(join(folder.path, 'disk.raw'), Buffer.alloc(3_000_000, 'documented'));
  const page = await readFile(join(repository, 'docs/client.md'), 'utf8');
  const blocks = codeBlocks(page);
  expect(blocks.map(({ language }) => language)).toEqual(Array.from({ length: 6 }, () => 'js'));
  const code = blocks
    .map((block) => block.code)
    .join('\n')
    .replaceAll('http://127.0.0.1:8080', service.process.url)
    .replaceAll("'darkroom/client'", JSON.stringify(join(repository, 'src/client/node.ts')));
  await writeFile(join(folder.path, 'examples.mjs'), code);
  const script = `cd "$1" && "$0" examples.mjs`;
  const ran = await runProgram('bash', ['-c', script, process.execPath, folder.path]);
  expect({ code: ran.code, errors: ran.errors }).toEqual({ code: 0, errors: '' });
  const lines = ran.output.trim().split('\n');
  expect(lines).toContain('done 3000000 3000000');
  expect(lines).toContain('3000000n');
  expect(ran.output).toMatch(/FIELD_INVALID service \[\s*\{\s*field: 'image_id'/);
  expect(lines.some((line) => /^3000000 [0-9a-f]{64}$/.test(line))).toBe(true);
});
