import MarkdownIt, { type Token } from 'markdown-it';
import { diagram } from './diagrams.ts';
import { HeadingSlugs } from './heading-slugs.ts';
import { highlight } from './highlight.ts';
import { escapeHtml, textOf } from './html.ts';
import type { Heading, Page } from './page.ts';
import { isSetting, placeOfTerm, settingAnchor } from './known-terms.ts';
import { linkOnSite, relativeLink } from './places.ts';

/** A table or a block of code may be wider than a phone: it scrolls by itself, with the keyboard too. */
const scrolls = (label: string): string => `tabindex="0" role="group" aria-label="${label}"`;

/** What rendering one page needs, and leaves behind. */
interface Rendering {
  readonly source: string;
  /** Its path on the site. */
  readonly path: string;
  readonly slugs: HeadingSlugs;
  readonly headings: Heading[];
}

const markdown = new MarkdownIt({ html: true });
const { rules } = markdown.renderer;

function renderingOf(env: object | undefined): Rendering {
  return env as Rendering;
}

rules.heading_open = (tokens, index, _options, env) => {
  const { slugs, headings } = renderingOf(env);
  const level = Number(tokens[index]?.tag.slice(1));
  const inline = tokens[index + 1];
  const text = (inline?.children ?? [])
    .filter(({ type }) => type === 'text' || type === 'code_inline')
    .map(({ content }) => content)
    .join('');
  const slug = slugs.next(text);
  headings.push({ level, text, slug });
  return `<h${level} id="${escapeHtml(slug)}">`;
};

rules.heading_close = (tokens, index, _options, env) => {
  const { headings } = renderingOf(env);
  const heading = headings.at(-1);
  const level = tokens[index]?.tag ?? 'h2';
  return heading === undefined || heading.level === 1
    ? `</${level}>\n`
    : ` <a class="anchor" href="#${escapeHtml(heading.slug)}" aria-label="Link to “${escapeHtml(heading.text)}”">#</a></${level}>\n`;
};

rules.table_open = () => `<div class="table" ${scrolls('Table')}><table>\n`;
rules.table_close = () => '</table></div>\n';

rules.fence = (tokens, index) => {
  const token = tokens[index];
  const code = token?.content ?? '';
  const language = token?.info.trim().split(/\s/)[0] ?? '';
  if (language === 'mermaid') {
    return `<figure class="drawn" ${scrolls('Diagram')}>${diagram(code)}</figure>\n`;
  }
  const html = highlight(code, language) || escapeHtml(code);
  return `<pre ${scrolls('Code')}><code>${html}</code></pre>\n`;
};

rules.code_block = (tokens, index) =>
  `<pre ${scrolls('Code')}><code>${escapeHtml(tokens[index]?.content ?? '')}</code></pre>\n`;

rules.code_inline = (tokens, index, _options, env) => {
  const { path } = renderingOf(env);
  const text = tokens[index]?.content ?? '';
  const code = `<code>${escapeHtml(text)}</code>`;
  const [page, anchor] = placeOfTerm(text) ?? [];
  return page === undefined || page === path || isWithinLink(tokens, index)
    ? code
    : `<a class="term" href="${relativeLink(path, page)}#${anchor}">${code}</a>`;
};

function isWithinLink(tokens: readonly Token[], index: number): boolean {
  const last = tokens.slice(0, index).findLast(({ type }) => /^link_(?:open|close)$/.test(type));
  return last?.type === 'link_open';
}

/** A row of a setting can be led to. */
rules.tr_open = (tokens, index) => {
  const first = tokens[index + 2]?.children?.[0];
  return first?.type === 'code_inline' &&
    isSetting(first.content) &&
    tokens[index + 1]?.type === 'td_open'
    ? `<tr id="${settingAnchor(first.content)}">`
    : '<tr>';
};

rules.link_open = (tokens, index, options, env, self) => {
  const token = tokens[index];
  const target = String(token?.attrGet('href') ?? '');
  const href = linkOnSite(renderingOf(env).source, target);
  if (token !== undefined && href !== undefined) {
    token.attrSet('href', href);
    if (/^https?:/.test(href)) {
      token.attrSet('rel', 'noreferrer');
    }
  } else if (token !== undefined) {
    // Only the repository has it; its name is still told.
    token.attrs = [
      ['class', 'repository'],
      ['title', `In the repository: ${target}`],
    ];
  }
  return self.renderToken(tokens, index, options);
};

rules.image = (tokens, index, options, env, self) => {
  const token = tokens[index];
  const { source } = renderingOf(env);
  token?.attrSet('src', linkOnSite(source, String(token.attrGet('src') ?? '')) ?? '');
  token?.attrSet('alt', self.renderInlineAsText(token.children ?? [], options, env));
  token?.attrSet('loading', 'lazy');
  return self.renderToken(tokens, index, options);
};

// Comments in Markdown are notes to those who change it.
rules.html_block = (tokens, index) => withoutComments(tokens[index]?.content ?? '');
rules.html_inline = (tokens, index) => withoutComments(tokens[index]?.content ?? '');

function withoutComments(html: string): string {
  return html.replaceAll(/<!--.*?-->\n?/gs, '');
}

/**
 * Makes a page of a Markdown file of the repository.
 *
 * @param source its path there, by which its links are resolved.
 * @throws Error where it has no heading of the first level.
 */
export function markdownPage(source: string, path: string, text: string): Page {
  const rendering: Rendering = { source, path, slugs: new HeadingSlugs(), headings: [] };
  const html = markdown.render(text, { ...rendering });
  const title = rendering.headings.find(({ level }) => level === 1)?.text;
  if (title === undefined) {
    throw new Error(`${source} has no heading of the first level, which would be its title`);
  }
  return { path, title: textOf(title), html, headings: rendering.headings };
}
