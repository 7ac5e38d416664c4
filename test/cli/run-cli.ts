import { Readable } from 'node:stream';
import type { ExitCode } from '../../src/cli/exit-codes.ts';
import { screenOn, type Sink } from '../../src/cli/output/screen.ts';
import { runProgram } from '../../src/cli/run-program.ts';
import type { Environment } from '../../src/cli/environment.ts';

/** What a command line has said, and with what it has ended. */
export interface CliResult {
  readonly exitCode: ExitCode;
  readonly output: string;
  readonly errors: string;
}

/** What surrounds a command line, where it is not the usual. */
export interface CliSurroundings {
  readonly environment?: Environment;
  readonly input?: string;
  /** Whether it writes to a terminal, of so many columns. */
  readonly columns?: number;
  readonly signal?: AbortSignal;
}

/** Does what a command line says, in this process, as in a pipe. */
export async function runCli(
  args: readonly string[],
  { environment = {}, input = '', columns, signal }: CliSurroundings = {},
): Promise<CliResult> {
  let output = '';
  let errors = '';
  const sink = (write: (text: string) => void): Sink =>
    columns === undefined ? { write } : { write, isTTY: true, columns, rows: 24 };
  const exitCode = await runProgram(args, {
    environment,
    input: Readable.from([Buffer.from(input)]),
    out: screenOn(
      sink((text) => (output += text)),
      environment,
    ),
    notes: screenOn(
      sink((text) => (errors += text)),
      environment,
    ),
    signal: signal ?? new AbortController().signal,
  });
  return { exitCode, output, errors };
}
