import { Command } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { Declarations } from './declaration.ts';
import { declareImages } from './image-commands.ts';
import { declareService } from './service-commands.ts';
import { declareCompletion, declareSetup } from './setup-commands.ts';
import { declareTasks } from './task-commands.ts';

/** The whole command line: what there is to say, and what is done then. */
export function buildProgram(context: CommandContext): {
  readonly program: Command;
  readonly declarations: Declarations;
} {
  const declarations = new Declarations(context);
  const { out, notes } = context;
  const program = new Command('darkroom')
    .description('Brings images into Darkroom and out of it, and tells what happened to them.')
    .helpCommand(false)
    .helpOption('-h, --help', 'what it does, with examples')
    .addHelpText('after', afterHelp)
    // Of all that are made below it, as these settings are handed down.
    .showHelpAfterError(
      '(darkroom help tells what there is, and each command with --help what it takes)',
    )
    .exitOverride()
    .configureOutput({
      writeOut: (text) => out.write(text),
      writeErr: (text) => notes.write(text),
      getOutHelpWidth: () => helpWidth(out.columns),
      getErrHelpWidth: () => helpWidth(notes.columns),
      getOutHasColors: () => out.style.bold('') !== '',
      getErrHasColors: () => notes.style.bold('') !== '',
      outputError: (text, write) => write(text.replace(/^error: /, 'darkroom: ')),
    })
    .configureHelp({
      styleTitle: (text) => out.style.bold(text),
      sortOptions: false,
    });
  program.commandsGroup('Images:');
  declareImages(program, declarations);
  program.commandsGroup('Tasks:');
  declareTasks(program, declarations);
  program.commandsGroup('The service:');
  declareService(program, declarations);
  program.commandsGroup('This program:');
  declareSetup(program, declarations);
  declareCompletion(program, declarations);
  program.addHelpCommand(
    new Command('help')
      .argument('[command]')
      .helpOption(false)
      .description('what a command does, with examples')
      .helpGroup('This program:'),
  );
  return { program, declarations };
}

/** Wide lines are hard to read. */
const helpWidth = (columns: number): number => Math.min(100, columns);

const afterHelp = `
Where an image or a task is asked for, its name, its id or the beginning of its id will do.
The service is at http://127.0.0.1:8080 unless --endpoint, DARKROOM_ENDPOINT or a profile say otherwise.`;
