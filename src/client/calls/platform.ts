/** A sha256 that is fed in parts. */
export interface RunningDigest {
  update(bytes: Uint8Array): void;
  /** The digest of all, in lower-case hexadecimal digits. Nothing can be added after it. */
  hex(): string;
}

/** What a platform computes in its own way. */
export interface Arithmetic {
  /** The crc32c (Castagnoli) of some bytes. */
  crc32c(bytes: Uint8Array): number;
  sha256(): RunningDigest;
  /** Whether all bytes are zero. */
  allZeros(bytes: Uint8Array): boolean;
}
