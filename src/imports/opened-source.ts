/** A source that sends. */
export interface OpenedSource {
  /** For people. */
  readonly name: string;
  /** For people: the address that led to this one; undefined where it is the one that was given. */
  readonly redirectedFrom: string | undefined;
  /** Where the body begins in the image. */
  readonly start: number;
  /** Where the body ends, if it is a range of the image; undefined for one that goes to the image's end. */
  readonly end: number | undefined;
  /** Bytes of the whole image; undefined if the source does not say it. */
  readonly size: number | undefined;
  /** By which a later request can ask for the rest of the same bytes. */
  readonly validator: string | undefined;
  /** Whether the source says that this is not the version of an earlier validator. */
  isOfOtherVersion(validator: string): boolean;
  /**
   * Ends when what was announced has come. A body whose length nobody announced may be cut short all the same.
   *
   * @throws DarkroomError SOURCE_CUT_SHORT, SOURCE_PROTOCOL_INVALID.
   */
  readonly body: { next(): Promise<IteratorResult<Buffer, undefined>> };
  /** Bytes as they came over the network. */
  bytesReceived(): number;
  /** Ends the connection. */
  close(): void;
}
