import { glob, readFile, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import { expect, test } from 'vitest';
import { HeadingSlugs } from '../../site/heading-slugs.ts';
import { repository } from '../support/service-process.ts';

/** Anchors of a Markdown page, as a reader of the repository has them. */
async function anchorsOf(page: string): Promise<Set<string>> {
  const text = await readFile(posix.join(repository, page), 'utf8');
  const slugs = new HeadingSlugs();
  const prose = text.replaceAll(/^```.*?^```$/gms, '');
  const headings = [...prose.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) =>
    heading!.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll(/[`*]/g, ''),
  );
  return new Set(headings.map((heading) => slugs.next(heading)));
}

async function isThere(path: string): Promise<boolean> {
  return await stat(posix.join(repository, path)).then(
    () => true,
    () => false,
  );
}

test('each link of the repository’s Markdown leads to a file, and to a heading of it', async () => {
  const pages = await Array.fromAsync(
    glob(['*.md', 'docs/**/*.md', 'examples/**/*.md'], { cwd: repository }),
  );
  const broken: string[] = [];
  let links = 0;
  for (const page of pages) {
    const text = await readFile(posix.join(repository, page), 'utf8');
    const prose = text.replaceAll(/^```.*?^```$/gms, '').replaceAll(/`[^`\n]*`/g, '');
    for (const [, target] of prose.matchAll(/\]\(([^()\s]+)\)/g)) {
      if (/^[a-z]+:/.test(target!)) {
        continue;
      }
      links += 1;
      const [path, anchor] = target!.split('#');
      const file = path === '' ? page : posix.join(posix.dirname(page), path!);
      if (
        !(await isThere(file)) ||
        (anchor !== undefined && !(await anchorsOf(file)).has(anchor))
      ) {
        broken.push(`${page}: ${target}`);
      }
    }
  }
  expect(broken).toEqual([]);
  expect(links).toBeGreaterThan(100);
});
