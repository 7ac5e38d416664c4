/** Why compressed bytes cannot be decompressed. */
export type CompressionProblem =
  /** They end before their stream does. */
  | 'cut short'
  /** They are not what the format allows, or their checksum is wrong. */
  | 'damaged'
  /** They are of a kind that the format allows and the decoder does not know. */
  | 'unsupported'
  /** They ask for more memory or time than is given to one stream. */
  | 'beyond reason';

/** Compressed bytes that cannot be decompressed, whatever is tried. */
export class CompressionError extends Error {
  override readonly name = 'CompressionError';
  readonly problem: CompressionProblem;

  constructor(problem: CompressionProblem, options?: ErrorOptions) {
    super(`the compressed bytes are ${problem}`, options);
    this.problem = problem;
  }
}
