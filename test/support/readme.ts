import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repository } from './service-process.ts';

/** A fenced block of a Markdown text. */
export interface CodeBlock {
  readonly language: string;
  readonly code: string;
}

/** The README. */
export function readReadme(): Promise<string> {
  return readFile(join(repository, 'README.md'), 'utf8');
}

/**
 * The part of a Markdown text below a heading, up to the next one of any level.
 *
 * @throws Error where there is no such heading.
 */
export function sectionOf(markdown: string, heading: string): string {
  const sections = markdown.split(/^(?=#+ )/m);
  const section = sections.find((text) => text.split('\n')[0]?.replace(/^#+ /, '') === heading);
  if (section === undefined) {
    throw new Error(`there is no heading ${JSON.stringify(heading)}`);
  }
  return section;
}

/** The fenced blocks of a Markdown text, in order. */
export function codeBlocks(markdown: string): CodeBlock[] {
  return [...markdown.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(([, language = '', code = '']) => ({
    language,
    code,
  }));
}
