import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { connectionSettingSpecs } from '../../src/config/connection-settings.ts';
import { requestSettingSpecs } from '../../src/config/request-settings.ts';
import { settingSpecs } from '../../src/config/settings.ts';
import { repository } from '../support/service-process.ts';

/** The lines of the table of bounds in docs/security.md. */
let rows: readonly string[];

beforeAll(async () => {
  const page = await readFile(join(repository, 'docs/security.md'), 'utf8');
  const section = page.slice(page.indexOf('## Bounds'), page.indexOf('## Secrets'));
  rows = section.split('\n').filter((line) => line.startsWith('|') && line.includes('`'));
});

test('the table of bounds has every setting that bounds connections and requests', () => {
  const table = rows.join('\n');
  const bounds = Object.values({ ...connectionSettingSpecs, ...requestSettingSpecs })
    .map(({ env }) => env)
    .filter((env) => !['DARKROOM_HOSTS', 'DARKROOM_CORS_ORIGINS'].includes(env))
    // One that goes with another one.
    .filter((env) => !env.endsWith('_GIVEN_UP_CALLS_PER_SECOND'));
  expect(bounds.filter((env) => !table.includes(`\`${env}\``))).toEqual([]);
});

test('it names settings and tests that there are, and a test with each', () => {
  const known = new Set<string>(Object.values(settingSpecs).map(({ env }) => env));
  for (const row of rows) {
    for (const [, name = ''] of row.matchAll(/`(DARKROOM_[A-Z0-9_]+)`/g)) {
      expect(known, row).toContain(name);
    }
    const tests = [...row.matchAll(/`(test\/[\w./-]+)`/g)].map(([, file = '']) => file);
    expect(tests.length, row).toBeGreaterThan(0);
    expect(
      tests.filter((file) => !existsSync(join(repository, file))),
      row,
    ).toEqual([]);
  }
});
