import { createInterface } from 'node:readline/promises';
import type { Readable } from 'node:stream';
import { CommandFailure } from '../command-failure.ts';
import type { CommandContext } from '../command-context.ts';
import { exitCodes } from '../exit-codes.ts';
import { UsageError } from '../usage-error.ts';

/**
 * Asks before something is done that cannot be taken back. Returns if the answer is yes.
 *
 * @throws UsageError where nobody is there who could answer. @throws CommandFailure for any other answer
 */
export async function askYesOrNo(context: CommandContext, question: string): Promise<void> {
  const { input, notes, signal } = context;
  if (input.isTTY !== true || !notes.isTerminal) {
    throw new UsageError('nobody is there to be asked whether that is meant: give --yes');
  }
  const lines = createInterface({ input: input as unknown as Readable });
  try {
    notes.write(`${question} [y/N] `);
    // The end of the input is no answer, and readline would wait for one all the same.
    const ended = new Promise<string>((resolve) => lines.once('close', () => resolve('')));
    const answer = await Promise.race([lines.question('', { signal }), ended]);
    if (!/^y(es)?$/i.test(answer.trim())) {
      throw new CommandFailure(exitCodes.failed, 'nothing was done');
    }
  } catch (error) {
    // readline has an error of its own for it.
    signal.throwIfAborted();
    throw error;
  } finally {
    lines.close();
  }
}
