/** Which digests are computed besides sha256. */
export interface DigestWishes {
  readonly sha512: boolean;
}

/** The digests of the same bytes, lower-case hex. */
export interface Digests {
  readonly sha256: string;
  /** Undefined unless it was wished for. */
  readonly sha512: string | undefined;
}

/** Digests that are computed on another thread. */
export interface DigestStream {
  /** Bytes that were given and are not digested yet. */
  readonly bytesInFlight: number;
  /** Whether its thread has died: it will never answer again. */
  readonly isLost: boolean;
  /**
   * Gives bytes. The other thread reads them in place if they are in shared memory, which is given back (`giveBack`) once
   * that is done; else `data`'s buffer is moved there if it holds little else, and copied if not.
   * Resolves when there is room for more on the way to the thread; what is given sooner waits its turn.
   *
   * @throws DarkroomError INTERNAL if the thread died.
   */
  update(data: Uint8Array): Promise<void>;
  /** The digests of all bytes given so far. @throws DarkroomError INTERNAL if the thread died. */
  result(): Promise<Digests>;
  /** Forgets the digest. */
  close(): void;
}
