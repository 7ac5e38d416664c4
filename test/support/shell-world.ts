import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { makeDataDir, repository } from './service-process.ts';

/** What a script wrote, and with what it ended: 128 where a signal ended it. */
export interface ShellResult {
  readonly code: number;
  readonly output: string;
  readonly errors: string;
}

/** A script that runs. */
export interface RunningScript {
  readonly child: ChildProcess;
  readonly ended: Promise<ShellResult>;
}

/**
 * A folder of its own, in which the commands of a page or of an example are run as a person has them: `npx darkroom` is that of
 * the checkout, and so is `darkroom`.
 */
export class ShellWorld implements AsyncDisposable {
  readonly folder: string;
  readonly #remove: () => Promise<void>;
  readonly #environment: Readonly<Record<string, string>>;

  private constructor(
    folder: string,
    remove: () => Promise<void>,
    environment: Readonly<Record<string, string>>,
  ) {
    this.folder = folder;
    this.#remove = remove;
    this.#environment = environment;
  }

  /** @param environment of all that is run, besides a home of its own. */
  static async make(environment: Readonly<Record<string, string>> = {}): Promise<ShellWorld> {
    const { path, remove } = await makeDataDir();
    const bin = join(path, 'bin');
    await mkdir(bin);
    const darkroom = `exec '${process.execPath}' '${repository}/src/cli/darkroom.mjs' "$@"\n`;
    const npx = `[ "$1" = darkroom ] || exit 64\nshift\n${darkroom}`;
    for (const [name, script] of [
      ['darkroom', darkroom],
      ['npx', npx],
    ] as const) {
      await writeFile(join(bin, name), `#!/bin/sh\n${script}`);
      await chmod(join(bin, name), 0o755);
    }
    return new ShellWorld(path, remove, environment);
  }

  /** Runs a script to its end; each of its commands has to succeed. */
  async play(script: string, more: Readonly<Record<string, string>> = {}): Promise<string> {
    const { code, output, errors } = await this.run(script, more);
    expect(code, `${script}\n${output}\n${errors}`).toBe(0);
    return output;
  }

  /** Runs a script to its end, however that is. */
  run(script: string, more: Readonly<Record<string, string>> = {}): Promise<ShellResult> {
    return this.start(script, more).ended;
  }

  /** Starts a script in a group of its own, so that a signal reaches all of it, as Ctrl-C does. */
  start(script: string, more: Readonly<Record<string, string>> = {}): RunningScript {
    const child = spawn('bash', ['-c', `set -eu\n${script}`], {
      cwd: this.folder,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 120_000,
      killSignal: 'SIGKILL',
      env: {
        HOME: this.folder,
        PATH: `${join(this.folder, 'bin')}:${process.env['PATH']}`,
        ...this.#environment,
        ...more,
      },
    });
    let output = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text));
    const ended = once(child, 'close').then(([code]: unknown[]) => ({
      code: typeof code === 'number' ? code : 128,
      output,
      errors,
    }));
    return { child, ended };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#remove();
  }
}
