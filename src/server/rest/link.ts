/** A link to a place, with the query that it is asked with. */
export function linkTo(path: string, query: URLSearchParams): string {
  return query.size === 0 ? path : `${path}?${query.toString()}`;
}
