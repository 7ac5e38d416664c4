import { cp, glob, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, test } from 'vitest';
import { brokenLinks, missingNames } from './support/page-names.ts';
import { runProgram } from './support/programs.ts';
import { sectionOf } from './support/readme.ts';
import { repository } from './support/service-process.ts';

const rulesFile = join(repository, '.dependency-cruiser.mjs');
const { rooms } = (await import(pathToFileURL(rulesFile).href)) as {
  rooms: Record<string, readonly string[]>;
};

function readPage(path: string): Promise<string> {
  return readFile(join(repository, path), 'utf8');
}

/** What dependency-cruiser reports, as far as it is looked at here. */
interface Report {
  readonly modules: readonly {
    readonly source: string;
    readonly dependencies: readonly { readonly module: string }[];
  }[];
  readonly summary: {
    readonly violations: readonly {
      readonly from: string;
      readonly rule: { readonly name: string };
    }[];
  };
}

/** Runs what `npm run check:architecture` runs. */
async function cruise(folder: string, config: string): Promise<Report> {
  const script = `cd "${folder}" && "${repository}/node_modules/.bin/depcruise" src --config "${config}" -T json`;
  const { output, errors } = await runProgram('bash', ['-c', script]);
  expect(errors).toBe('');
  return JSON.parse(output) as Report;
}

describe('docs/architecture.md', () => {
  test('has the table of rooms that the check goes by', async () => {
    const section = sectionOf(await readPage('docs/architecture.md'), 'Rooms');
    const rows = section.split('\n').filter((line) => line.startsWith('|'));
    const documented = rows.slice(2).map((row) => {
      const [room = '', , allowed = ''] = row
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim());
      return [room, allowed === '' ? [] : allowed.split(', ')];
    });
    expect(documented).toEqual(Object.entries(rooms));
  });

  test('has a room for each folder, and none that is empty', async () => {
    const files = await Array.fromAsync(
      glob('**/*.{ts,tsx,mjs}', { cwd: join(repository, 'src') }),
    );
    const roomOf = (file: string): string | undefined =>
      Object.keys(rooms).find((room) =>
        room === 'server' ? dirname(file) === room : file.startsWith(`${room}/`),
      );
    const homeless = files.filter((file) => roomOf(file) === undefined);
    expect(homeless.toSorted()).toEqual([
      'main.mjs',
      'member-process.ts',
      'service-process.ts',
      'service.ts',
    ]);
    const used = new Set(files.map(roomOf));
    expect(Object.keys(rooms).filter((room) => !used.has(room))).toEqual([]);
  });

  test('names files, settings and code that there are', async () => {
    expect(await missingNames(await readPage('docs/architecture.md'))).toEqual([]);
  });

  test('would be found out if it did not', async () => {
    const stale = [
      'A `src/tasks/ledger/task-ledger.ts` has a `TaskLedger`, `TaskLedger.change`, no `TaskBook`.',
      'A `src/tasks/book.ts` and a `DARKROOM_COLOUR`, by `npm run paint`.',
      '- `TaskLedger`\n- `src/tasks/ledger/task-ledger.ts`',
    ].join('\n\n');
    expect(await missingNames(stale)).toEqual([
      'TaskBook: in no file that is named beside it',
      'src/tasks/book.ts: no such file',
      'DARKROOM_COLOUR: no such setting',
      'npm run paint: no such script',
      'TaskLedger: in no file that is named beside it',
    ]);
  });
});

test('CONTRIBUTING.md names settings, scripts and code that there are', async () => {
  const isMeant = (span: string): boolean =>
    /^(?:DARKROOM_[A-Z_]+|npm .*|[A-Za-z][a-z]+[A-Z]\w*)$/.test(span);
  expect(await missingNames(await readPage('CONTRIBUTING.md'), isMeant)).toEqual([]);
});

test('links of the documentation lead to files, and files that it names are there', async () => {
  const pages = await Array.fromAsync(glob(['*.md', 'docs/**/*.md'], { cwd: repository }));
  expect(pages).toContain('README.md');
  const broken = await Promise.all(
    pages.map(async (page) =>
      brokenLinks(await readPage(page), dirname(page)).map((link) => `${page}: ${link}`),
    ),
  );
  expect(broken.flat()).toEqual([]);
});

test('the index of the decisions has every page, once', async () => {
  const pages = await Array.fromAsync(glob('*.md', { cwd: join(repository, 'docs/decisions') }));
  const index = await readPage('docs/decisions/README.md');
  const listed = [...index.matchAll(/\]\(([\w-]+\.md)\)/g)].map(([, page]) => page!);
  expect(listed.toSorted()).toEqual(pages.filter((page) => page !== 'README.md').toSorted());
});

describe('the check of the architecture', () => {
  test('sees every file below src, and every import in it', async () => {
    const { modules } = await cruise(repository, rulesFile);
    const seen = new Map(
      modules
        .filter(({ source }) => source.startsWith('src/') && !source.endsWith('.css'))
        .map(({ source, dependencies }) => [source, dependencies.map(({ module }) => module)]),
    );
    const files = await Array.fromAsync(glob('src/**/*.{ts,tsx,mjs}', { cwd: repository }));
    expect([...seen.keys()].toSorted()).toEqual(files.toSorted());
    for (const file of files) {
      const text = await readPage(file);
      const imports = [
        ...text.matchAll(/^(?:.* from |import )'([^']+)';$|\bimport\('([^']+)'\)/gm),
      ];
      const written = new Set(
        imports.map(([, module, later]) => (module ?? later!).replace(/^node:/, '')),
      );
      const found = (seen.get(file) ?? []).map((module) => module.replace(/^node:/, ''));
      expect(new Set(found), file).toEqual(written);
    }
  });

  test('finds what breaks it, of types too', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'darkroom-rooms-'));
    try {
      await cp(join(repository, 'src'), join(folder, 'src'), { recursive: true });
      for (const shared of ['gen', 'node_modules', 'test']) {
        await symlink(join(repository, shared), join(folder, shared));
      }
      // Else what is behind the links would be taken for the code's own.
      const config = join(folder, 'rules.mjs');
      await writeFile(
        config,
        `import rules from ${JSON.stringify(rulesFile)};
         export default { ...rules, options: { ...rules.options, preserveSymlinks: true } };`,
      );
      const planted: readonly [file: string, text: string, rule?: string][] = [
        [
          'formats/planted.ts',
          `import type { BlobStore } from '../storage/blob-store.ts'; export type P = BlobStore;`,
          'formats imports what it may',
        ],
        [
          'records/planted.ts',
          `import { Database } from '../database/database.ts'; export const p = Database;`,
          'records imports what it may',
        ],
        ['lists/planted.ts', `import type { Q } from './planted-too.ts'; export type P = Q[];`],
        [
          'lists/planted-too.ts',
          `import type { P } from './planted.ts'; export type Q = P[];`,
          'no circles of files',
        ],
        [
          'tasks/planted.ts',
          `export { quoted } from '../domain/quoted.ts';`,
          'every file is in a room',
        ],
        [
          'images/planted.ts',
          `export { Code } from '@connectrpc/connect';`,
          'only the server knows the protocols',
        ],
        [
          'access/planted.ts',
          `export { CleanUps } from '../../test/support/clean-ups.ts';`,
          'src needs neither tests nor tools',
        ],
        ['storage/planted.ts', `export * from './not-there.ts';`, 'what is imported is there'],
      ];
      for (const [file, text] of planted) {
        const path = join(folder, 'src', file);
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, `${text}\n`);
      }
      const { summary } = await cruise(folder, config);
      const [circles, others] = [true, false].map((ofFolders) =>
        summary.violations.filter(
          ({ rule }) => (rule.name === 'no circles of folders') === ofFolders,
        ),
      );
      expect(others!.map(({ from, rule }) => `${from}: ${rule.name}`).toSorted()).toEqual(
        planted
          .flatMap(([file, , rule]) => (rule === undefined ? [] : [`src/${file}: ${rule}`]))
          .toSorted(),
      );
      expect(circles!.map(({ from }) => from)).toContain('src/records');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
