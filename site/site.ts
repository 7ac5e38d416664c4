import { createHash } from 'node:crypto';
import { glob, readdir, readFile } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';
import { framed, type Assets } from './frame.ts';
import { markdownPage } from './markdown.ts';
import type { Page } from './page.ts';
import { placeOf } from './places.ts';
import { commandPage } from './reference/command-page.ts';
import { contractPages } from './reference/contract-pages.ts';
import { readContract } from './reference/contract.ts';
import { reasonPage } from './reference/reason-page.ts';
import { searchIndex } from './search-sections.ts';

/** The checkout. */
const root = fileURLToPath(new URL('..', import.meta.url));

/** Files of the repository that are pages, besides the generated ones. */
const markdownFiles = [
  'docs/**/*.md',
  'examples/**/*.md',
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
];

/** What the site is made of, besides those: files that, changed, change the site. */
const otherSources = [
  'docs/images/*',
  'examples/*/*',
  'site/**/*',
  'gen/descriptors.binpb',
  'src/domain/failure-reason.ts',
  'src/access/policy.ts',
  'src/config/*.ts',
  'src/cli/**/*.ts',
];

/** The site. */
export interface Site {
  readonly pages: readonly Page[];
  /** All its files by their paths, pages in their frames among them. */
  readonly files: ReadonlyMap<string, string | Uint8Array>;
  /** The files of the checkout that it was made of, by their paths there. */
  readonly inputs: readonly string[];
}

/**
 * Makes the documentation's site: the Markdown of the repository, and a reference out of the contract and the code.
 *
 * @throws Error of a page that has no title; what rolldown and the file system throw.
 */
export async function makeSite(): Promise<Site> {
  const sources = (await matching(markdownFiles)).toSorted();
  const contract = await readContract(join(root, 'gen/descriptors.binpb'));
  const pages = [
    ...(await Promise.all(sources.map(pageOf))),
    ...contractPages(contract),
    reasonPage(contract),
    await commandPage(),
  ];
  const files = new Map<string, string | Uint8Array>();
  const assets = await addAssets(files, pages);
  for (const path of await matching(['docs/images/*'])) {
    files.set(placeOf(path) ?? path, await readFile(join(root, path)));
  }
  for (const page of pages) {
    files.set(page.path, framed(page, assets));
  }
  return { pages, files, inputs: [...sources, ...(await matching(otherSources))] };
}

/** Files of the checkout. */
async function matching(patterns: readonly string[]): Promise<string[]> {
  const found = await Array.fromAsync(glob(patterns, { cwd: root, withFileTypes: true }));
  return found
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length));
}

async function pageOf(source: string): Promise<Page> {
  const path = placeOf(source);
  if (path === undefined) {
    throw new Error(`${source} has no place on the site`);
  }
  const text = await readFile(join(root, source), 'utf8');
  return markdownPage(source, path, text + (await listings(source)));
}

/** Languages of what an example is made of, by how its files end. */
const listed: Readonly<Record<string, string>> = {
  '.html': 'html',
  '.js': 'js',
  '.py': 'python',
  '.sh': 'sh',
  '.ts': 'ts',
  '.yml': 'yaml',
};

/** The files of an example, as Markdown below what is told of it. */
async function listings(source: string): Promise<string> {
  if (!source.startsWith('examples/')) {
    return '';
  }
  const folder = dirname(source);
  const names = (await readdir(join(root, folder))).filter((name) => extname(name) in listed);
  const parts = names.toSorted().map(async (name) => {
    const code = await readFile(join(root, folder, name), 'utf8');
    return `\n## ${name}\n\n\`\`\`\`${listed[extname(name)]}\n${code}\`\`\`\`\n`;
  });
  return (await Promise.all(parts)).join('');
}

async function addAssets(
  files: Map<string, string | Uint8Array>,
  pages: readonly Page[],
): Promise<Assets> {
  const add = (name: string, content: string): string => {
    const digest = createHash('sha256').update(content).digest('hex').slice(0, 10);
    const ending = extname(name);
    const path = `assets/${name.slice(0, -ending.length)}-${digest}${ending}`;
    files.set(path, content);
    return path;
  };
  const own = (name: string): Promise<string> => readFile(join(root, 'site', name), 'utf8');
  return {
    style: add('style.css', await own('style.css')),
    icon: add('icon.svg', await own('icon.svg')),
    theme: add('theme.js', await script('theme', 'iife')),
    search: add('search.js', await script('search', 'esm')),
    searchIndex: add('search-index.json', searchIndex(pages)),
  };
}

/** A script of the browser, with all that it imports. */
async function script(name: string, format: 'iife' | 'esm'): Promise<string> {
  const input = join(root, 'site/browser', `${name}.ts`);
  const build = await rolldown({ cwd: dirname(input), input, platform: 'browser' });
  try {
    const { output } = await build.generate({ format, minify: true });
    return output[0].code;
  } finally {
    await build.close();
  }
}
