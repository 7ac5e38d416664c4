import { Option, type Command } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';

/** What a command does, with what its declaration gives it: arguments first, options last. */
type Work<Given extends readonly unknown[]> = (
  context: CommandContext,
  ...given: Given
) => Promise<ExitCode | void> | ExitCode | void;

/** How commands are declared: what they are told is read by commander, what they do is read only when it is done. */
export class Declarations {
  readonly #context: CommandContext;
  #exitCode: ExitCode = exitCodes.done;

  constructor(context: CommandContext) {
    this.#context = context;
  }

  /** With what the command has ended that was done. */
  get exitCode(): ExitCode {
    return this.#exitCode;
  }

  /** An action for commander. @param load reads the code of the command */
  does<Given extends readonly unknown[]>(
    load: () => Promise<Work<Given>>,
  ): (...given: [...Given, Command]) => Promise<void> {
    return async (...given) => {
      const work = await load();
      // The last one that commander gives is the command itself.
      const own = given.slice(0, -1) as unknown as Given;
      this.#exitCode = (await work(this.#context, ...own)) ?? exitCodes.done;
    };
  }
}

const connectionGroup = 'Which service, and as whom:';
const outputGroup = 'For programs:';

/** Adds the options that say which service is called. */
export function calling(command: Command): Command {
  return command
    .addOption(
      inGroup(connectionGroup, '--endpoint <url>', 'address of the service (DARKROOM_ENDPOINT)'),
    )
    .addOption(inGroup(connectionGroup, '--profile <name>', 'a profile of darkroom profile'))
    .addOption(
      inGroup(connectionGroup, '--token-file <path>', 'file with the token (or DARKROOM_TOKEN)'),
    )
    .addOption(
      inGroup(connectionGroup, '--project <name>', 'project to act for, as a service or an admin'),
    )
    .addOption(
      inGroup(connectionGroup, '--ca-file <path>', 'authority of its certificate, as PEM'),
    );
}

/** Adds the options that say how records are written for programs. */
export function forPrograms(command: Command, example = '{id}'): Command {
  return command
    .addOption(inGroup(outputGroup, '--json', 'as JSON, with the fields of the contract'))
    .addOption(inGroup(outputGroup, '--format <template>', `each as a line, such as '${example}'`));
}

function inGroup(group: string, flags: string, description: string): Option {
  const option = new Option(flags, description);
  option.helpGroup(group);
  return option;
}

/** Examples below a command's help, as what is typed and what it is for. */
export function examples(
  command: Command,
  ...lines: readonly (readonly [string, string])[]
): Command {
  const width = Math.max(...lines.map(([line]) => line.length));
  const text = lines.map(([line, what]) => `  ${line.padEnd(width)}  ${what}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${text}`);
}
