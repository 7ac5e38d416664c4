import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { repository } from './service-process.ts';

/** A program that was started, such as a client of the service. */
export interface RunningProgram {
  /** The lines of its standard output so far. */
  readonly lines: readonly string[];
  /** What it said on standard error so far. */
  readonly errors: () => string;
  /** Resolves with its exit code, or 128 where it died of a signal, when all its output was read. */
  readonly exited: Promise<number>;
}

/** Starts a program in the checkout. @param timeoutMs it is killed after so long. */
export function startProgram(
  program: string,
  args: readonly string[],
  timeoutMs = 60_000,
): RunningProgram {
  const child = spawn(program, args, {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  });
  const lines: string[] = [];
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line));
  const exited = once(child, 'close').then(([code]: unknown[]) =>
    typeof code === 'number' ? code : 128,
  );
  return { lines, errors: () => errors, exited };
}

/** What became of a program that has ended. */
export interface ProgramResult {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

/** Runs a program in the checkout to its end. @param timeoutMs as of `startProgram`. */
export async function runProgram(
  program: string,
  args: readonly string[],
  timeoutMs?: number,
): Promise<ProgramResult> {
  const running = startProgram(program, args, timeoutMs);
  const code = await running.exited;
  return { code, output: running.lines.join('\n'), errors: running.errors() };
}
