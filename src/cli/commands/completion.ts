import type { Command, Option } from 'commander';
import type { CommandContext } from '../command-context.ts';
import { withClient } from '../connection.ts';

/** The shells that there is a completion for. */
export const shells = ['bash', 'zsh', 'fish'] as const;

const scripts: Readonly<Record<(typeof shells)[number], string>> = {
  bash: `# To use it: source <(darkroom completion bash)
_darkroom() {
  local IFS=$'\\n' word=\${COMP_WORDS[COMP_CWORD]}
  local words
  words=$(darkroom complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1)
  COMPREPLY=($(compgen -W "$words" -- "$word"))
  if [ \${#COMPREPLY[@]} -eq 0 ]; then
    compopt -o default
  fi
}
complete -F _darkroom darkroom
`,
  zsh: `#compdef darkroom
# To use it: source <(darkroom completion zsh), after compinit
_darkroom() {
  local -a found
  local line
  while IFS=$'\\t' read -r line about; do
    found+=("\${line//:/\\\\:}:\${about}")
  done < <(darkroom complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( \${#found} )); then _describe darkroom found; else _files; fi
}
compdef _darkroom darkroom
`,
  fish: `# To use it: darkroom completion fish | source
function __darkroom_complete
  set -l words (commandline -opc) (commandline -ct)
  darkroom complete -- $words[2..-1] 2>/dev/null
end
complete -c darkroom -a '(__darkroom_complete)'
`,
};

/** Prints the completion for a shell. */
export function completion({ out }: CommandContext, shell: (typeof shells)[number]): void {
  out.write(scripts[shell]);
}

/** How long names are waited for from the service while somebody types, in ms. */
const patienceMs = 1500;

/** Prints what may stand next on a command line: a word on each line, and behind a tab what it is. @param program all that there is */
export async function complete(
  context: CommandContext,
  program: Command,
  words: readonly string[],
): Promise<void> {
  const begun = words.at(-1) ?? '';
  const { command, waiting } = placeOf(program, words.slice(0, -1));
  const candidates =
    waiting === undefined
      ? await candidatesOf(context, command, begun)
      : (waiting.argChoices ?? []).map((choice) => [choice, ''] as const);
  for (const [word, about] of candidates) {
    if (word.startsWith(begun)) {
      context.out.line(about === '' ? word : `${word}\t${about}`);
    }
  }
}

/** Which command has been typed, and which option waits for its value. */
function placeOf(
  program: Command,
  words: readonly string[],
): { readonly command: Command; readonly waiting: Option | undefined } {
  let command = program;
  let waiting: Option | undefined;
  for (const word of words) {
    if (waiting !== undefined) {
      waiting = undefined;
    } else if (word.startsWith('-')) {
      const option = command.options.find(({ short, long }) => word === short || word === long);
      waiting = option?.required === true ? option : undefined;
    } else {
      command = command.commands.find((one) => one.name() === word) ?? command;
    }
  }
  return { command, waiting };
}

async function candidatesOf(
  context: CommandContext,
  command: Command,
  begun: string,
): Promise<readonly (readonly [word: string, about: string])[]> {
  if (begun.startsWith('-')) {
    return command.options.map(({ long, short, description }) => [
      long ?? short ?? '',
      description,
    ]);
  }
  if (command.commands.length > 0) {
    return command.commands
      .filter((one) => one.name() !== 'complete')
      .map((one) => [one.name(), one.summary() || one.description()]);
  }
  const [argument] = command.registeredArguments;
  if (argument?.argChoices !== undefined) {
    return argument.argChoices.map((choice) => [choice, '']);
  }
  return argument !== undefined && ['image', 'task', 'id'].includes(argument.name())
    ? namesOf(context)
    : [];
}

/** The names of the newest images, by which tasks are found, too. Whoever types is not told why there are none. */
async function namesOf(context: CommandContext): Promise<(readonly [string, string])[]> {
  const quiet = { ...context, notes: { ...context.notes, line: () => undefined } };
  try {
    const signal = AbortSignal.timeout(patienceMs);
    const { images } = await withClient(quiet, {}, (client) =>
      client.images.listImages({ pageSize: 200 }, { signal }),
    );
    return images.map(({ name, id }) => (name === '' || /\s/.test(name) ? [id, name] : [name, id]));
  } catch {
    return [];
  }
}
