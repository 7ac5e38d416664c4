/** Reads the page of a token; the first one's is empty. */
type ReadPage<Item> = (
  pageToken: string,
) => Promise<{ readonly items: readonly Item[]; readonly nextPageToken: string }>;

/** The items of all pages of a list; each page is read when it is wanted. */
export async function* allPages<Item>(read: ReadPage<Item>): AsyncGenerator<Item, void, undefined> {
  let pageToken = '';
  do {
    const { items, nextPageToken } = await read(pageToken);
    yield* items;
    pageToken = nextPageToken;
  } while (pageToken !== '');
}
