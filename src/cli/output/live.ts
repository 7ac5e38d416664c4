import { createLogUpdate } from 'log-update';
import type { Screen } from './screen.ts';

const hideCursor = '\u001B[?25l';
const showCursor = '\u001B[?25h';

/** Lines at the end of a terminal that are drawn again and again, below what stays. Nothing is drawn elsewhere. */
export class LiveLines {
  readonly #screen: Screen;
  readonly #update: ReturnType<typeof createLogUpdate> | undefined;
  #isDrawn = false;
  #last = '';

  constructor(screen: Screen) {
    this.#screen = screen;
    // It would hide the cursor of the wrong stream, and takes over signals for that.
    this.#update = screen.isTerminal
      ? createLogUpdate(screen.sink as unknown as NodeJS.WritableStream, { showCursor: true })
      : undefined;
  }

  /** Whether anybody sees what is drawn. */
  get isLive(): boolean {
    return this.#update !== undefined;
  }

  /** Draws in place of what was drawn before. */
  draw(lines: readonly string[]): void {
    if (this.#update !== undefined) {
      this.#begin();
      this.#last = lines.join('\n');
      this.#update(this.#last);
    }
  }

  /** Writes a line that stays, above what is drawn. */
  keep(line: string): void {
    if (this.#update === undefined || !this.#isDrawn) {
      this.#screen.line(line);
      return;
    }
    this.#update.clear();
    this.#screen.line(line);
    this.#update(this.#last);
  }

  /** Takes away what was drawn. To be called however the work ends, or the cursor stays hidden. */
  end(): void {
    if (this.#isDrawn) {
      this.#isDrawn = false;
      this.#update?.clear();
      process.removeListener('exit', this.#onExit);
      this.#screen.write(showCursor);
    }
  }

  #begin(): void {
    if (!this.#isDrawn) {
      this.#isDrawn = true;
      this.#screen.write(hideCursor);
      process.once('exit', this.#onExit);
    }
  }

  readonly #onExit = (): void => this.#screen.write(showCursor);
}
