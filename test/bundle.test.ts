import {
  appendFile,
  cp,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runProgram, type ProgramResult } from './support/programs.ts';
import { repository } from './support/service-process.ts';

/** A checkout of the tests' own, whose service says where its code is read from and ends. */
let checkout: string;

beforeAll(async () => {
  checkout = await mkdtemp(join(tmpdir(), 'darkroom-checkout-'));
  for (const name of ['src', 'gen', 'build', 'package.json', 'tsconfig.json']) {
    await cp(join(repository, name), join(checkout, name), { recursive: true });
  }
  await symlink(join(repository, 'node_modules'), join(checkout, 'node_modules'));
  await appendFile(
    join(checkout, 'src/config/service-links.ts'),
    '\nconsole.log(String(new Error().stack));\nprocess.exit(0);\n',
  );
});

afterAll(() => rm(checkout, { recursive: true, force: true }));

function run(...args: readonly string[]): Promise<ProgramResult> {
  return runProgram('bash', ['-c', 'cd "$0" && exec "$@"', checkout, process.execPath, ...args]);
}

/** Whether the service is read from a bundle or from its sources. */
async function origin(): Promise<'bundle' | 'sources'> {
  const { code, output, errors } = await run('src/main.mjs');
  expect({ code, errors }).toEqual({ code: 0, errors: '' });
  expect(output).toMatch(/\/dist\/build-|\/src\/config\/service-links\.ts/);
  return output.includes('/dist/build-') ? 'bundle' : 'sources';
}

/** What the last good build wrote down. */
let record = '';

async function build(): Promise<void> {
  const { code, errors } = await run('build/main.ts', 'service');
  expect({ code, errors }).toEqual({ code: 0, errors: '' });
  record = await readFile(join(checkout, 'dist/bundle.json'), 'utf8');
}

/** Has a bundle of the sources as they are, from a build or, where nothing but the record was spoilt since, as it was. */
async function haveBundle(): Promise<void> {
  if (record === '') {
    return build();
  }
  await writeFile(join(checkout, 'dist/bundle.json'), record);
  expect(await origin()).toBe('bundle');
}

describe('the service', () => {
  test('runs from its sources where there is no bundle', async () => {
    expect(await origin()).toBe('sources');
  });

  test('runs from a bundle of what it is made of', async () => {
    await build();
    expect(await origin()).toBe('bundle');
  });

  test('runs from its sources as soon as one of them was changed, until it is bundled again', async () => {
    await haveBundle();
    await appendFile(join(checkout, 'src/service.ts'), '\n// A change.\n');
    expect(await origin()).toBe('sources');
    await build();
    expect(await origin()).toBe('bundle');
  });

  test('runs from its sources where one of the same size took the place of another', async () => {
    await haveBundle();
    const path = join(checkout, 'src/service.ts');
    await rename(path, `${path}.aside`);
    await cp(`${path}.aside`, path);
    expect(await origin()).toBe('sources');
    await rename(`${path}.aside`, path);
  });

  test.for([
    ['is torn', '{"folder": "build-'],
    ['is of a build that is gone', '{"folder": "build-gone", "inputs": []}'],
    ['has a file that is gone', '{"folder": "FOLDER", "inputs": [["src/gone.ts", 1, 1]]}'],
  ] as const)('runs from its sources where the record %s', async ([, spoilt]) => {
    await haveBundle();
    const builds = await readdir(join(checkout, 'dist'));
    await writeFile(
      join(checkout, 'dist/bundle.json'),
      spoilt.replace('FOLDER', builds.find((name) => name.startsWith('build-')) ?? 'none'),
    );
    expect(await origin()).toBe('sources');
  });
});

describe('a source that changes while it is bundled', () => {
  beforeAll(async () => {
    await rm(join(checkout, 'dist'), { recursive: true, force: true });
    const later = new Date(Date.now() + 3_600_000);
    await utimes(join(checkout, 'src/service.ts'), later, later);
  });

  test('fails the build', async () => {
    const { code, errors } = await run('build/main.ts', 'service');
    expect(code).toBe(1);
    expect(errors).toContain('service.ts was changed while it was being bundled; build again');
    expect(await readdir(join(checkout, 'dist'))).toEqual([]);
  });

  test('leaves an installation with the sources, and says so', async () => {
    const { code, errors } = await run('build/main.ts', 'service', '--if-possible');
    expect(code).toBe(0);
    expect(errors).toContain('The service was not bundled and runs from its sources');
    expect(await origin()).toBe('sources');
  });
});
