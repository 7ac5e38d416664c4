/** What was given to a command is wrong; the message says what. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
