import type { ExitCode } from './exit-codes.ts';

/** What a command has to say when it cannot do what it was asked: a sentence or more for people, and a code for scripts. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}
