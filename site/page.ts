/** A heading of a page. */
export interface Heading {
  /** 1 to 6. */
  readonly level: number;
  readonly text: string;
  /** Its anchor on the page. */
  readonly slug: string;
}

/** A page of the site, before it stands in its frame. */
export interface Page {
  /** Where it lies on the site, such as `decisions/index.html`. */
  readonly path: string;
  readonly title: string;
  /** Its content, headed by an `h1`. */
  readonly html: string;
  /** In their order on the page. */
  readonly headings: readonly Heading[];
}
