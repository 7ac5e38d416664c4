import type { UploadProgress } from '../../client/exports.ts';
import type { CommandContext } from '../command-context.ts';
import { LiveLines } from '../output/live.ts';
import { shownText } from '../output/shown-text.ts';
import { transferLines } from '../output/transfer-bar.ts';

/** What an upload shows while it goes on. */
export class UploadScreen {
  readonly #context: CommandContext;
  readonly #live: LiveLines | undefined;
  readonly #beganMs = performance.now();
  #name = '';
  #last: UploadProgress | undefined;

  constructor(context: CommandContext, isQuiet: boolean) {
    this.#context = context;
    this.#live = isQuiet ? undefined : new LiveLines(context.notes);
  }

  /** What was reached. */
  get last(): UploadProgress | undefined {
    return this.#last;
  }

  /** For how long it has gone on, in ms. */
  get elapsedMs(): number {
    return performance.now() - this.#beganMs;
  }

  /** Shown beside the bar. */
  set name(name: string) {
    this.#name = shownText(name);
  }

  progress(progress: UploadProgress): void {
    this.#last = progress;
    const { step, position, sizeBytes, bytesPerSecond, holeBytes, waiting } = progress;
    const transfer = {
      step: stepWords[step],
      doneBytes: position,
      sizeBytes,
      bytesPerSecond,
      holeBytes,
      waiting:
        waiting === undefined
          ? undefined
          : { why: shownText(waiting.error.message), leftMs: waiting.untilMs - Date.now() },
    };
    this.#live?.draw(transferLines(this.#name, transfer, this.#context.notes));
  }

  /** Says something that stays. */
  note(text: string): void {
    if (this.#live === undefined) {
      this.#context.notes.line(text);
    } else {
      this.#live.keep(text);
    }
  }

  end(): void {
    this.#live?.end();
  }
}

const stepWords: Readonly<Record<UploadProgress['step'], string>> = {
  starting: 'asking the service',
  reading: 'reading what is there already',
  sending: 'sending',
  waiting: 'waiting',
  finishing: 'being checked',
  done: 'done',
};
