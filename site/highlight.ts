import { createRequire } from 'node:module';

/** What is used of highlight.js, whose own types declare the names of browsers wherever they are read. */
interface Highlighter {
  registerLanguage(name: string, language: unknown): void;
  highlight(code: string, options: { readonly language: string }): { readonly value: string };
}

const load = createRequire(import.meta.url);
const highlighter = load('highlight.js/lib/core') as Highlighter;

/** Languages as blocks of code name them, each by the name that highlight.js has for it. */
const languages = new Map([
  ['bash', 'bash'],
  ['html', 'xml'],
  ['ini', 'ini'],
  ['js', 'javascript'],
  ['json', 'json'],
  ['nginx', 'nginx'],
  ['protobuf', 'protobuf'],
  ['python', 'python'],
  ['sh', 'bash'],
  ['sql', 'sql'],
  ['ts', 'typescript'],
  ['yaml', 'yaml'],
]);

for (const name of new Set(languages.values())) {
  highlighter.registerLanguage(name, load(`highlight.js/lib/languages/${name}`));
}

/** Code as HTML, with classes for its colours; the empty text where its language is none that is known. */
export function highlight(code: string, language: string): string {
  const name = languages.get(language);
  return name === undefined ? '' : highlighter.highlight(code, { language: name }).value;
}
