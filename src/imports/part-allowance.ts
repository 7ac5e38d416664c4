/** So many parts may be of any size. */
const freeParts = 64;
/** Each further one must have so many bytes, on average over all. */
const bytesAPart = 64 * 1024;

/**
 * How many parts of an image a source may send one by one in a try. A source may send as little of what
 * it is asked for as it likes, and still is not failing; but each part costs a request, and one that sends
 * a byte at a time must not keep a worker for ever: it is read from its beginning then.
 */
export class PartAllowance {
  #parts = 0;
  #bytes = 0;

  /** Counts a part with so many new bytes, and answers whether there may be another one. */
  admitsAfter(bytes: number): boolean {
    this.#parts += 1;
    this.#bytes += bytes;
    return this.#parts < freeParts + Math.floor(this.#bytes / bytesAPart);
  }
}
