/** The bytes of an image as far as they have come. */
export interface ByteSource {
  /** Bytes from the start that can be read. */
  readonly available: number;
  /** Whether these are all the image's bytes. */
  readonly isWhole: boolean;
  /** Reads exactly `length` bytes at `offset`; both lie within `available`. The buffer is the caller's. */
  read(offset: number, length: number): Promise<Uint8Array>;
}
