import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { repository } from '../support/service-process.ts';
import { runCli } from './run-cli.ts';

test('the page of the command line has every exit code and every command', async () => {
  const page = await readFile(join(repository, 'docs/cli.md'), 'utf8');
  const told = [...page.matchAll(/^\| (\d+) +\|/gm)].map(([, code]) => Number(code));
  expect(told).toEqual(Object.values(exitCodes).toSorted((a, b) => a - b));
  const { output } = await runCli(['--help']);
  const commands = [...output.matchAll(/^ {2}([a-z-]+) .* {2,}/gm)].map(([, name]) => name!);
  expect(commands.length).toBeGreaterThan(18);
  expect(commands.filter((name) => !page.includes(`darkroom ${name}`))).toEqual([]);
});
