import { CommanderError } from 'commander';
import type { CommandContext } from './command-context.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { buildProgram } from './program/program.ts';
import { toldFailure } from './told-failure.ts';

/**
 * Does what a command line says, and tells what went wrong.
 *
 * @returns the exit code. Never throws for what a user or a service did.
 */
export async function runProgram(
  args: readonly string[],
  context: CommandContext,
): Promise<ExitCode> {
  const { program, declarations } = buildProgram(context);
  try {
    if (args.length === 0) {
      program.outputHelp({ error: true });
      return exitCodes.usage;
    }
    await program.parseAsync(args, { from: 'user' });
    return declarations.exitCode;
  } catch (error) {
    if (error instanceof CommanderError) {
      // It has said already what was wrong.
      return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    }
    // What was under way fails in whatever way when it is interrupted.
    const { signal, notes } = context;
    const { exitCode, text } = toldFailure(signal.aborted ? signal.reason : error);
    notes.write(text);
    return exitCode;
  }
}
