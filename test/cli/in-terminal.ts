import { spawn } from 'node:child_process';
import { once } from 'node:events';
import headless from '@xterm/headless';
import { onTestFinished } from 'vitest';
import { leash, repository } from '../support/service-process.ts';

/** A program in a terminal of its own. */
export interface InTerminal {
  /** What a person sees, with what has scrolled away, without blanks at the ends. */
  screen(): string;
  /** All that was written, with what steers the terminal. */
  raw(): string;
  /** As if it was typed; `\x03` is Ctrl-C. */
  type(text: string): void;
  /** Resolves with the exit code, when all that was written is on the screen. */
  readonly exited: Promise<number>;
}

/** Runs a program in a terminal: a real one of the kernel, and on its other end an emulator that shows what people would see. */
export function inTerminal(
  program: readonly string[],
  {
    environment = {},
    columns = 100,
    rows = 30,
  }: {
    readonly environment?: Readonly<Record<string, string>>;
    readonly columns?: number;
    readonly rows?: number;
  } = {},
): InTerminal {
  const emulator = new headless.Terminal({
    cols: columns,
    rows,
    allowProposedApi: true,
    scrollback: 1000,
  });
  const [command = 'python3', ...args] = [
    ...leash,
    'python3',
    'test/cli/in_terminal.py',
    String(columns),
    String(rows),
    ...program,
  ];
  const child = spawn(command, args, {
    cwd: repository,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], TERM: 'xterm-256color', LANG: 'C.UTF-8', ...environment },
  });
  let raw = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    raw += text;
    emulator.write(text);
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => (raw += text));
  onTestFinished(() => void child.kill('SIGKILL'));
  return {
    screen() {
      const { active } = emulator.buffer;
      const lines = Array.from(
        { length: active.length },
        (_, index) => active.getLine(index)?.translateToString(true) ?? '',
      );
      return lines.join('\n').trimEnd();
    },
    raw: () => raw,
    type: (text) => void child.stdin.write(text),
    exited: (async () => {
      const [code] = (await once(child, 'close')) as [number | null];
      await new Promise<void>((resolve) => emulator.write('', resolve));
      return code ?? -1;
    })(),
  };
}

/** The command line, as a person calls it. */
export function darkroomInTerminal(
  args: readonly string[],
  options: Parameters<typeof inTerminal>[1] = {},
): InTerminal {
  return inTerminal([process.execPath, 'src/cli/darkroom.mjs', ...args], options);
}
