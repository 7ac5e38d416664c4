import type { Environment } from './environment.ts';
import { migrateUsage } from './migrate-command.ts';
import { tokenCommand, tokenUsage } from './token-command.ts';
import { UsageError } from './usage-error.ts';

/** What a command has to say. */
export interface CommandResult {
  /** 0 done, 1 failed, 2 wrong use. */
  readonly exitCode: 0 | 1 | 2;
  /** What was asked for, for programs as well. */
  readonly output: string;
  /** What is said besides, for people. */
  readonly errors: string;
}

const usage = `Usage:\n${tokenUsage}\n${migrateUsage}`;

/** Does what a command line says that is done at once. */
export function runCommand(args: readonly string[], environment: Environment): CommandResult {
  const [command, ...rest] = args;
  if (command === undefined || command === 'help' || args.includes('--help')) {
    return { exitCode: command === undefined ? 2 : 0, output: usage, errors: '' };
  }
  try {
    if (command !== 'token') {
      throw new UsageError(`there is no command ${JSON.stringify(command)}`);
    }
    const { output, note = '' } = tokenCommand(rest, environment);
    return { exitCode: 0, output, errors: note };
  } catch (error) {
    return failedResult(error);
  }
}

/** What is said of a command that has thrown. */
export function failedResult(error: unknown): CommandResult {
  const message = error instanceof Error ? error.message || String(error) : String(error);
  return error instanceof UsageError
    ? { exitCode: 2, output: '', errors: `darkroom: ${message}\n\n${usage}` }
    : { exitCode: 1, output: '', errors: `darkroom: ${message}\n` };
}
