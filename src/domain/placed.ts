/** A row of a list. */
export interface Placed<Place, Row> {
  /** Where in the list it was found. */
  readonly place: Place;
  /** The row; undefined if it has gone, or out of the list, after it was found there. */
  readonly row: Row | undefined;
}
