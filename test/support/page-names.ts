import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { settingSpecs } from '../../src/config/settings.ts';
import { repository } from './service-process.ts';

const settings = new Set<string>(Object.values(settingSpecs).map(({ env }) => env));

/**
 * What a page in Markdown names between backticks and is not there: files, settings, scripts of
 * package.json, and names of the code, which must be declared in a file that the same paragraph, row or
 * item names. Each with what is wrong.
 *
 * @param isMeant whether a span is one of these at all; all are if not set.
 */
export async function missingNames(
  markdown: string,
  isMeant: (span: string) => boolean = () => true,
): Promise<string[]> {
  const prose = markdown.replaceAll(/^```.*?^```$/gms, '');
  const missing: string[] = [];
  for (const block of blocksOf(prose)) {
    missing.push(...(await missingInBlock(block, isMeant)));
  }
  return missing;
}

/** Links of a page that lead to no file, and files of the code that it names and that are not there. */
export function brokenLinks(markdown: string, folder: string): string[] {
  const links = [...markdown.matchAll(/\]\(([^()#\s]+)(?:#[^()]*)?\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^[a-z]+:/.test(target) && !isThere(join(folder, target)));
  const files = [...markdown.matchAll(/`((?:src|test|proto|docs|bench|chaos)\/[\w./-]+)`/g)]
    .map(([, file]) => file!)
    .filter((file) => !isThere(file));
  return [...links, ...files];
}

/** Paragraphs, rows of tables, and items of lists. */
function blocksOf(prose: string): string[] {
  return prose.split(/\n\s*\n|\n(?=\||- |\d+\. )/);
}

async function missingInBlock(
  block: string,
  isMeant: (span: string) => boolean,
): Promise<string[]> {
  const spans = [...block.matchAll(/`([^`]+)`/g)].map(([, span]) => span!.replaceAll(/\s+/g, ' '));
  const files = spans.filter((span) => isPath(span) && /\.\w+$/.test(span) && isThere(span));
  const texts = await Promise.all(files.map((file) => readFile(join(repository, file), 'utf8')));
  const problems = await Promise.all(spans.filter(isMeant).map((span) => problemOf(span, texts)));
  return problems.filter((problem) => problem !== undefined);
}

async function problemOf(span: string, texts: readonly string[]): Promise<string | undefined> {
  const script = /^npm (?:run )?([a-z:]+)\b/.exec(span)?.[1];
  if (script !== undefined) {
    return script === 'ci' || (await scripts()).has(script) ? undefined : `${span}: no such script`;
  }
  if (/^(?:DARKROOM_[A-Z_]*[A-Z]|DATABASE_URL)$/.test(span)) {
    return settings.has(span) ? undefined : `${span}: no such setting`;
  }
  if (isPath(span) || isThere(join('src', span))) {
    return isThere(span) || isThere(join('src', span)) ? undefined : `${span}: no such file`;
  }
  const isDeclaredIn = (text: string): boolean =>
    span.split('.').every((name) => declarationOf(name).test(text));
  const isName = /^#?[A-Za-z]\w*(?:\.#?[a-z]\w*)?$/.test(span) && /[a-z]/.test(span);
  const isFound =
    isName && !span.includes('_') ? isDeclaredIn : (text: string) => text.includes(span);
  return texts.some(isFound) ? undefined : `${span}: in no file that is named beside it`;
}

/** Of the kinds that the code has: functions, classes, types, constants, and members. */
function declarationOf(name: string): RegExp {
  return new RegExp(
    String.raw`\b(?:function\*?|class|interface|type|const|let|enum) ${name}\b|` +
      String.raw`^ +(?:(?:static|override|readonly|async|get|set|declare) )*\*?${name}[?!]?[(<:=; ]`,
    'm',
  );
}

function isPath(span: string): boolean {
  return !span.includes(' ') && (span.includes('/') || /\.(?:ts|mjs|md|proto|json)$/.test(span));
}

function isThere(path: string): boolean {
  return existsSync(join(repository, path));
}

async function scripts(): Promise<Set<string>> {
  const text = await readFile(join(repository, 'package.json'), 'utf8');
  return new Set(Object.keys((JSON.parse(text) as { scripts: object }).scripts));
}
