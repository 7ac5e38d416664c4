import type { Options } from 'minisearch';

/** A section of a page, as the search knows it. */
export interface Section {
  readonly id: string;
  /** From the root of the site, with the anchor. */
  readonly url: string;
  /** The title of its page. */
  readonly page: string;
  readonly heading: string;
  readonly text: string;
  /** The beginning of its text. */
  readonly shown: string;
}

/** What the index is made with, and read with in the browser: both must say the same. */
export const searchOptions: Options<Section> = {
  fields: ['heading', 'page', 'text'],
  storeFields: ['url', 'page', 'heading', 'shown'],
  // CreateImage is found by "create", WRITER_FENCED by "fenced" and as a whole.
  tokenize: (text) => {
    const words = text.split(/[^\p{L}\p{N}_]+/u);
    const parts = words.flatMap((word) => word.split(/_|(?<=[a-z])(?=[A-Z])/));
    return [...new Set([...words, ...parts])].filter((word) => word !== '');
  },
  searchOptions: {
    prefix: true,
    fuzzy: (term) => (term.length > 4 ? 0.2 : false),
    boost: { heading: 4, page: 2 },
    combineWith: 'AND',
  },
};
