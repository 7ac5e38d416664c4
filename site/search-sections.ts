import MiniSearch from 'minisearch';
import { textOf } from './html.ts';
import type { Page } from './page.ts';
import { searchOptions, type Section } from './search-options.ts';

/** So much of a section's text is shown beside its heading, in characters. */
const shownCharacters = 160;

/** The index that the search of the site reads, as JSON: a document for each section of each page. */
export function searchIndex(pages: readonly Page[]): string {
  const index = new MiniSearch<Section>(searchOptions);
  index.addAll(pages.flatMap(sectionsOf));
  return JSON.stringify(index);
}

function sectionsOf(page: Page): Section[] {
  return page.html.split(/(?=<h[1-6][ >])/).flatMap((html, position): Section[] => {
    const heading = /^<h([1-6])(?: id="([^"]*)")?>(.*?)<\/h\1>/s.exec(html);
    const text = textOf(html.slice(heading?.[0].length ?? 0));
    const named = textOf((heading?.[3] ?? page.title).replaceAll(/<a class="anchor".*?<\/a>/g, ''));
    if (text === '' && heading === null) {
      return [];
    }
    const anchor = heading?.[1] === '1' || heading?.[2] === undefined ? '' : `#${heading[2]}`;
    return [
      {
        id: `${page.path}-${position}`,
        url: page.path + anchor,
        page: page.title,
        heading: named,
        text,
        shown: text.length > shownCharacters ? `${text.slice(0, shownCharacters)}…` : text,
      },
    ];
  });
}
