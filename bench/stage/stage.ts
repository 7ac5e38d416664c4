import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';

const living = new Set<ChildProcess>();
// Whatever becomes of a run, none of its processes outlives it.
process.on('exit', () => living.forEach((child) => child.kill('SIGKILL')));

/** Counts a process among those that end with this one. */
export function keepTrackOf(child: ChildProcess): void {
  living.add(child);
  child.once('exit', () => living.delete(child));
}

/** What one benchmark sets up, and takes down again: a temporary folder, and whatever runs on it. */
export class Stage {
  readonly folder: string;
  readonly #steps: (() => Promise<unknown>)[] = [];
  #closed: Promise<void> | undefined;

  private constructor(folder: string) {
    this.folder = folder;
    this.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  }

  /** Makes a folder in the system's temporary one (TMPDIR). */
  static async open(): Promise<Stage> {
    return new Stage(await mkdtemp(join(tmpdir(), 'darkroom-bench-')));
  }

  /** Has `step` run when the stage is closed, before the steps that were added earlier. */
  defer(step: () => Promise<unknown>): void {
    this.#steps.push(step);
  }

  /** Takes everything down. Calling it again gives the same promise. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    // A loop, since a step may be added while others run, by a start that was under way.
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) {
      await step().catch((error: unknown) => console.error('could not clean up:', error));
    }
  }
}
