import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { repository } from '../support/service-process.ts';

test('each advisory of docs/advisories.md has a test, which is there', () => {
  const page = readFileSync(join(repository, 'docs/advisories.md'), 'utf8');
  const rows = page.split('\n').filter((line) => /^\| *(?:OSS[AN]-|Races)/.test(line));
  expect(rows.length).toBeGreaterThan(30);
  for (const row of rows) {
    const [, file, name] = /`(test\/[^`]+)`: “([^”]+)”/.exec(row) ?? [];
    expect([row, file !== undefined && name !== undefined]).toEqual([row, true]);
    const source = readFileSync(join(repository, file!), 'utf8');
    expect([row, source.includes(name!)]).toEqual([row, true]);
  }
});

test('each advisory that a test names is in docs/advisories.md', () => {
  const page = readFileSync(join(repository, 'docs/advisories.md'), 'utf8');
  for (const name of ['host-files', 'sources', 'whose-image', 'leftovers', 'credentials']) {
    const source = readFileSync(join(repository, `test/advisories/${name}.test.ts`), 'utf8');
    const named = source.match(/(?:CVE-\d{4}-\d+|OSSN-\d{4})/g) ?? [];
    expect([name, named.filter((id) => !page.includes(id))]).toEqual([name, []]);
  }
});
