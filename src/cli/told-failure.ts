import { debuglog } from 'node:util';
import { Interruption } from './command-context.ts';
import { CommandFailure } from './command-failure.ts';
import { exitCodes, type ExitCode } from './exit-codes.ts';
import { UsageError } from './usage-error.ts';

/** What is said of what a command has thrown, and with what it ends. */
export interface ToldFailure {
  readonly exitCode: ExitCode;
  /** For people; nothing where there is nothing to say. */
  readonly text: string;
}

const debug = debuglog('darkroom');

/** Of anything that was thrown. No stack is shown, unless NODE_DEBUG=darkroom asks for it. */
export function toldFailure(error: unknown): ToldFailure {
  debug('%O', error);
  if (error instanceof Interruption) {
    const { interrupted, terminated } = exitCodes;
    return { exitCode: error.by === 'SIGINT' ? interrupted : terminated, text: '' };
  }
  if (error instanceof UsageError) {
    return { exitCode: exitCodes.usage, text: said(error.message) };
  }
  if (error instanceof CommandFailure) {
    return { exitCode: error.exitCode, text: said(error.message) };
  }
  const message = error instanceof Error ? error.message || error.name : String(error);
  return { exitCode: exitCodes.failed, text: said(message) };
}

function said(message: string): string {
  return `darkroom: ${message}\n`;
}
