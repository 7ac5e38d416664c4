import { glob, readFile } from 'node:fs/promises';
import MiniSearch from 'minisearch';
import { posix } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { failureReasons } from '../../src/domain/failure-reason.ts';
import { parts } from '../../site/contents.ts';
import { placeOf } from '../../site/places.ts';
import { typesOf } from '../../site/reference/contract-names.ts';
import { readContract, type Described } from '../../site/reference/contract.ts';
import { escapeHtml, textOf } from '../../site/html.ts';
import { searchOptions, type Section } from '../../site/search-options.ts';
import { makeSite, type Site } from '../../site/site.ts';
import { runCli } from '../cli/run-cli.ts';
import { repository } from '../support/service-process.ts';

let site: Site;

beforeAll(async () => {
  site = await makeSite();
});

function htmlOf(path: string): string {
  return String(site.files.get(path));
}

function pagePaths(): string[] {
  return [...site.files.keys()].filter((path) => path.endsWith('.html'));
}

/** Values of an attribute, as they are meant. */
function attributes(html: string, name: string): string[] {
  return [...html.matchAll(new RegExp(` ${name}="([^"]*)"`, 'g'))].map(([, value]) =>
    value!.replaceAll('&amp;', '&'),
  );
}

describe('the site', () => {
  test('has each Markdown page of the repository', async () => {
    const pages = await Array.fromAsync(glob('docs/**/*.md', { cwd: repository }));
    expect(pages.length).toBeGreaterThan(40);
    expect(pages.filter((page) => !site.files.has(placeOf(page) ?? ''))).toEqual([]);
  });

  test('has links that all lead to a page and an anchor of it', () => {
    const broken = pagePaths().flatMap((page) => {
      const html = htmlOf(page);
      const targets = [...attributes(html, 'href'), ...attributes(html, 'src')];
      expect(targets.length).toBeGreaterThan(20);
      return targets
        .filter((target) => !/^(?:https?|mailto):/.test(target))
        .filter((target) => {
          const [path, anchor] = target.split('#');
          const file = path === '' ? page : posix.join(posix.dirname(page), path!);
          const ids = (): string[] => attributes(htmlOf(file), 'id');
          return !site.files.has(file) || (anchor !== undefined && !ids().includes(anchor));
        })
        .map((target) => `${page}: ${target}`);
    });
    expect(broken).toEqual([]);
  });

  test('says each anchor of a page once', () => {
    for (const page of pagePaths()) {
      const ids = attributes(htmlOf(page), 'id');
      expect(new Set(ids).size, page).toBe(ids.length);
    }
  });

  test('needs nothing that a strict policy refuses: no script, style or handler stands in a page', () => {
    for (const page of pagePaths()) {
      const html = htmlOf(page);
      expect(html, page).not.toMatch(
        /<style|<script(?![^>]* src=)|<[^>]* (?:style|on[a-z]+)="|"javascript:/i,
      );
      expect(html, page).not.toMatch(/<(?:img|script|link)[^>]* (?:src|href)="(?:https?:)?\/\//);
    }
  });

  test('has a title of its own on each page, and one heading of the first level', () => {
    const titles = pagePaths().map((page) => /<title>(.*?)<\/title>/.exec(htmlOf(page))?.[1]);
    expect(new Set(titles).size).toBe(titles.length);
    for (const page of pagePaths()) {
      expect(htmlOf(page).match(/<h1[ >]/g), page).toHaveLength(1);
    }
  });

  test('leads from the first page of the repository’s documentation to all that its sidebar has', async () => {
    const home = await readFile(`${repository}/docs/README.md`, 'utf8');
    const linked = [...home.matchAll(/\]\(([^)]+)\)/g)].map(([, target]) => {
      const [path, anchor] = target!.split('#');
      return `${placeOf(posix.join('docs', path!))}${anchor === undefined ? '' : `#${anchor}`}`;
    });
    for (const { name, entries } of parts) {
      expect(home).toContain(`\n## ${name}\n`);
      for (const { to } of entries) {
        const [source, anchor] = to.split('#');
        const place = placeOf(source!) ?? source!;
        expect(site.files.has(place), to).toBe(true);
        expect(linked).toContain(place + (anchor === undefined ? '' : `#${anchor}`));
      }
    }
  });
});

describe('the reference', () => {
  test('has everything that the contract declares, with its comment', async () => {
    const contract = await readContract(`${repository}/gen/descriptors.binpb`);
    const squeeze = (text: string): string => text.replaceAll(/\s+/g, '');
    let declared = 0;
    for (const file of contract.files) {
      const path = placeOf(`proto/${file.name}.proto`)!;
      const told = squeeze(textOf(htmlOf(path)));
      const types: readonly Described[] = typesOf(file);
      const all: readonly Described[] = [
        ...file.services,
        ...file.services.flatMap(({ methods }) => methods),
        ...types,
        ...types.flatMap((type): readonly Described[] =>
          type.kind === 'enum' ? type.values : type.kind === 'message' ? type.fields : [],
        ),
      ];
      for (const one of all) {
        declared += 1;
        const comment = contract.comment(one);
        expect(comment, one.name).not.toBe('');
        expect(told).toContain(one.name);
        // Errors are told as a list, without the commas between them.
        for (const paragraph of comment
          .split(/\n\s*\n/)
          .filter((text) => !/^Errors\b.*:/s.test(text))) {
          expect(told, one.name).toContain(squeeze(paragraph));
        }
        for (const [error] of comment.matchAll(/[A-Z_]+\/[A-Z_]{3,}/g)) {
          expect(told, one.name).toContain(error);
        }
      }
    }
    expect(declared).toBeGreaterThan(300);
  });

  test('has every reason, with its code and what it means or who tells it', () => {
    const html = htmlOf('reference/reasons.html');
    const sections = html.split(/(?=<h2 id=)/).slice(1);
    expect(sections).toHaveLength(Object.keys(failureReasons).length);
    for (const section of sections) {
      expect(section).toMatch(/<code>[A-Z_]+<\/code> · .*Told by: <?\w/s);
    }
  });
});

describe('the page of commands', () => {
  test('has what each of them tells of itself', async () => {
    const told = htmlOf('reference/commands.html');
    for (const name of ['images', 'task', 'token create', 'profile add', 'migrate-from-glance']) {
      const { output } = await runCli([...name.split(' '), '--help']);
      expect(output).toContain(`Usage: darkroom ${name}`);
      expect(told).toContain(escapeHtml(output.trimEnd()));
    }
  });
});

describe('the search', () => {
  function find(query: string): string[] {
    const name = [...site.files.keys()].find((path) => /search-index.*json$/.test(path))!;
    const index = MiniSearch.loadJSON<Section>(String(site.files.get(name)), searchOptions);
    return index.search(query).map(({ url }) => String(url));
  }

  test.each([
    ['writer_fenced', 'reference/reasons.html#writer-fenced'],
    ['createimage', 'reference/image-service.html#createimage'],
    ['static tokens', 'security.html#static-tokens'],
    ['compresed', 'upload-protocol.html#compressed-images'],
  ])('finds “%s”', (query, url) => {
    expect(find(query).slice(0, 5)).toContain(url);
  });

  test('leads to anchors that there are, and finds nothing where there is nothing', () => {
    for (const url of find('image')) {
      const [path, anchor] = url.split('#');
      const ids = attributes(htmlOf(path!), 'id');
      expect(anchor === undefined || ids.includes(anchor), url).toBe(true);
    }
    expect(find('xyzzyplugh')).toEqual([]);
  });
});
