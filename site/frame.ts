import { homeSource, parts, type Entry } from './contents.ts';
import { escapeHtml } from './html.ts';
import type { Heading, Page } from './page.ts';
import { placeOf, relativeLink } from './places.ts';

/** Where the files that every page asks for lie on the site; their names change with their bytes. */
export interface Assets {
  readonly style: string;
  readonly theme: string;
  readonly search: string;
  readonly searchIndex: string;
  readonly icon: string;
}

/** An entry of the sidebar with the page that it leads to. */
interface Place {
  readonly label: string;
  readonly path: string;
  readonly anchor: string;
}

function placeOfEntry({ label, to }: Entry): Place {
  const [source = '', anchor] = to.split('#');
  const path = placeOf(source) ?? source;
  return { label, path, anchor: anchor === undefined ? '' : `#${anchor}` };
}

/** All that the sidebar leads to, in its order. */
const places = parts.map((part) => ({ name: part.name, places: part.entries.map(placeOfEntry) }));
const inOrder = places.flatMap((part) => part.places).filter(({ anchor }) => anchor === '');

/** A whole page: its content between the head, the sidebar, what is on it, and the pages before and after. */
export function framed(page: Page, assets: Assets): string {
  const to = (path: string): string => escapeHtml(relativeLink(page.path, path));
  const isHome = page.path === placeOf(homeSource);
  const title = isHome ? 'Darkroom: documentation' : `${page.title} · Darkroom`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)}</title>
<link rel="icon" type="image/svg+xml" href="${to(assets.icon)}">
<link rel="stylesheet" href="${to(assets.style)}">
<script src="${to(assets.theme)}"></script>
<script type="module" src="${to(assets.search)}"></script>
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header class="top">
<a class="name" href="${to('index.html')}">Darkroom <span>documentation</span></a>
<search class="search" data-index="${to(assets.searchIndex)}" data-root="${to('index.html').replace(/index\.html$/, '')}">
<label class="unseen" for="query">Search the documentation</label>
<input id="query" type="search" placeholder="Search" autocomplete="off" spellcheck="false" role="combobox" aria-expanded="false" aria-controls="found" aria-autocomplete="list">
<kbd aria-hidden="true">/</kbd>
<div id="found" role="listbox" aria-label="Found" hidden></div>
<p class="unseen" role="status" aria-live="polite"></p>
</search>
<button class="theme" type="button" hidden>Dark</button>
</header>
<div class="columns">
<nav class="sidebar" aria-label="Documentation"><details class="menu"><summary>All pages</summary>
${sidebar(page, to)}
</details></nav>
<main id="content" class="${isHome ? 'home' : 'page'}" tabindex="-1">
${page.html}
${neighbours(page, to)}
</main>
${outline(page.headings)}
</div>
</body>
</html>
`;
}

function sidebar(page: Page, to: (path: string) => string): string {
  return places
    .map(({ name, places: entries }) => {
      const items = entries.map(({ label, path, anchor }) => {
        const isHere = path === page.path && anchor === '' ? ' aria-current="page"' : '';
        return `<li><a href="${to(path)}${anchor}"${isHere}>${escapeHtml(label)}</a></li>`;
      });
      return `<h2>${name}</h2>\n<ul>${items.join('\n')}</ul>`;
    })
    .join('\n');
}

function neighbours(page: Page, to: (path: string) => string): string {
  const index = inOrder.findIndex(({ path }) => path === page.path);
  if (index === -1) {
    return '';
  }
  const link = (place: Place | undefined, rel: 'prev' | 'next'): string =>
    place === undefined
      ? '<span></span>'
      : `<a rel="${rel}" href="${to(place.path)}"><span>${rel === 'prev' ? 'Before' : 'Next'}</span> ${escapeHtml(place.label)}</a>`;
  return `<nav class="neighbours" aria-label="Neighbouring pages">${link(inOrder[index - 1], 'prev')}${link(inOrder[index + 1], 'next')}</nav>`;
}

/** What is on the page, where that is enough to be lost in it. */
function outline(headings: readonly Heading[]): string {
  const shown = headings.filter(({ level }) => level === 2);
  if (shown.length < 2) {
    return '<div class="outline"></div>';
  }
  const items = shown.map(
    ({ text, slug }) => `<li><a href="#${escapeHtml(slug)}">${escapeHtml(text)}</a></li>`,
  );
  return `<nav class="outline" aria-label="On this page"><h2>On this page</h2><ul>${items.join('\n')}</ul></nav>`;
}
