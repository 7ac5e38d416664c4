/**
 * Anchors of the headings of one page, as GitHub makes them, so that a link to a heading holds in the repository and on the
 * site. Give it the headings in their order: a text that comes again gets a number.
 */
export class HeadingSlugs {
  readonly #used = new Map<string, number>();

  /** @param text the heading as a reader sees it, without marks of Markdown. */
  next(text: string): string {
    const slug = text
      .trim()
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
      .replaceAll(' ', '-');
    const before = this.#used.get(slug);
    this.#used.set(slug, (before ?? 0) + 1);
    return before === undefined ? slug : `${slug}-${before}`;
  }
}
