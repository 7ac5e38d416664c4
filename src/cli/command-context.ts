import type { Environment } from './environment.ts';
import type { Screen } from './output/screen.ts';

/** What a command reads from: a terminal, a pipe, a file. */
export type Input = AsyncIterable<Uint8Array> & { readonly isTTY?: boolean };

/** What a command has around it, besides its arguments. */
export interface CommandContext {
  readonly environment: Environment;
  readonly input: Input;
  /** For what was asked for: what programs read. */
  readonly out: Screen;
  /** For what is said besides, to people: progress, notes, questions. */
  readonly notes: Screen;
  /** Fires when the user wants an end, with an Interruption. */
  readonly signal: AbortSignal;
}

/** Why a command was ended: by Ctrl-C, or by SIGTERM. */
export class Interruption extends Error {
  override readonly name = 'Interruption';
  readonly by: 'SIGINT' | 'SIGTERM';

  constructor(by: 'SIGINT' | 'SIGTERM') {
    super(by === 'SIGINT' ? 'interrupted' : 'terminated');
    this.by = by;
  }
}
