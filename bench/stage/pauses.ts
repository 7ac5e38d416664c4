import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Stage } from './stage.ts';

const probe = fileURLToPath(new URL('pause-probe.ts', import.meta.url));

/** How long full collections of V8 hold the event loop of a process that is started with these arguments and variables. */
export class Pauses {
  readonly nodeArguments = ['--import', probe] as const;
  readonly env: Readonly<Record<string, string>>;
  readonly #file: string;
  #read = 0;

  constructor(stage: Stage) {
    this.#file = join(stage.folder, 'pauses');
    this.env = { PAUSES_FILE: this.#file };
  }

  /** Each since this was called last, in ms. */
  async sinceLast(): Promise<number[]> {
    const all = (await readFile(this.#file, 'utf8')).split('\n').filter(Boolean).map(Number);
    const since = all.slice(this.#read);
    this.#read = all.length;
    return since;
  }
}
