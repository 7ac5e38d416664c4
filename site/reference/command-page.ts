import type { Command } from 'commander';
import { Readable } from 'node:stream';
import type { CommandContext } from '../../src/cli/command-context.ts';
import { screenOn } from '../../src/cli/output/screen.ts';
import { buildProgram } from '../../src/cli/program/program.ts';
import { runProgram } from '../../src/cli/run-program.ts';
import { escapeHtml } from '../html.ts';
import type { Heading, Page } from '../page.ts';

/** The page of all commands: what each says of itself when it is asked for its help. */
export async function commandPage(): Promise<Page> {
  const { program } = buildProgram(contextOf(() => {}));
  const commands = commandsBelow(program, []);
  const sections = await Promise.all(
    commands.map(async (words) => {
      const name = words.join(' ');
      const heading: Heading = { level: 2, text: name, slug: words.join('-') };
      const help = escapeHtml(await helpOf(words.slice(1)));
      return {
        heading,
        html:
          `<h2 id="${heading.slug}">${name} <a class="anchor" href="#${heading.slug}" aria-label="Link to ${name}">#</a></h2>\n` +
          `<pre tabindex="0" role="group" aria-label="Help of ${name}"><code>${help}</code></pre>`,
      };
    }),
  );
  return {
    path: 'reference/commands.html',
    title: 'Commands',
    headings: sections.map(({ heading }) => heading),
    html:
      '<h1>Commands</h1>\n<p>What <code>darkroom</code> can be told, as each command tells it with <code>--help</code>.</p>\n' +
      sections.map(({ html }) => html).join('\n'),
  };
}

/** The words of each command, the program's own first, and of those below it. */
function commandsBelow(command: Command, before: readonly string[]): string[][] {
  const words = [...before, command.name()];
  const below = command.commands.filter((one) => !['help', 'complete'].includes(one.name()));
  return [words, ...below.flatMap((one) => commandsBelow(one, words))];
}

async function helpOf(args: readonly string[]): Promise<string> {
  let told = '';
  const exitCode = await runProgram(
    [...args, '--help'],
    contextOf((text) => (told += text)),
  );
  if (exitCode !== 0 || told === '') {
    throw new Error(`darkroom ${args.join(' ')} --help ended with ${exitCode} and told: ${told}`);
  }
  return told.trimEnd();
}

/** Around a command that only tells what it does: no settings, nothing to read, plain text of 100 columns. */
function contextOf(write: (text: string) => void): CommandContext {
  const out = screenOn({ write }, {});
  return {
    environment: {},
    input: Readable.from([]),
    out,
    notes: out,
    signal: new AbortController().signal,
  };
}
