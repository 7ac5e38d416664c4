import { readFileSync, statSync, type BigIntStats } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';

/** How often a file is looked at, in ms. */
const intervalMs = 500;

/** What to do with a file. */
export interface WatchedFileOptions<T> {
  readonly path: string;
  /** Makes something of its text. @throws Error with what is wrong, in words that complete "<path> …". */
  readonly parse: (text: string) => T;
  /** Called with what a change of the file has brought. */
  readonly onChange: (value: T) => void;
  /** Told, once, what is wrong with a change; what was there before stays. */
  readonly onBroken: (message: string) => void;
}

/** Thrown at a start for a file that cannot be used. */
export class WatchedFileError extends Error {
  override readonly name = 'WatchedFileError';
}

/**
 * A file that is read again whenever it changes. It is looked at, since what tells of changes does not tell of all: a file that
 * is replaced, a link that points elsewhere (as Kubernetes mounts its secrets), a file system of the network.
 */
export class WatchedFile<T> {
  readonly #options: WatchedFileOptions<T>;
  readonly #timer: NodeJS.Timeout;
  #seen: string;
  #value: T;
  #told = '';
  #looking: Promise<void> | undefined;
  #isClosed = false;

  /** @throws WatchedFileError where the file cannot be read, or makes no sense. */
  constructor(options: WatchedFileOptions<T>) {
    this.#options = options;
    const { seen, value } = readNow(options);
    this.#seen = seen;
    this.#value = value;
    this.#timer = setInterval(() => void this.#lookOnce(), intervalMs).unref();
  }

  get value(): T {
    return this.#value;
  }

  close(): void {
    this.#isClosed = true;
    clearInterval(this.#timer);
  }

  /** Looks now: what the file was changed to before this was called counts when it resolves. Never rejects. */
  async look(): Promise<void> {
    // A look that is under way may have begun before the change.
    await this.#looking;
    await this.#lookOnce();
  }

  #lookOnce(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** Waits, so that a file system that does not answer holds nobody up. */
  async #look(): Promise<void> {
    const { path, onBroken, onChange } = this.#options;
    try {
      const look = await stat(path, { bigint: true }).then(identityOf, messageOf);
      if (look === this.#seen || this.#isClosed) {
        return;
      }
      // It is tried again as long as it cannot be read: a change may take something back from somebody.
      this.#seen = '';
      const text = await readFile(path, 'utf8').catch(throwUnusable(path));
      this.#seen = look;
      this.#value = this.#parse(text);
      this.#told = '';
      onChange(this.#value);
    } catch (error) {
      const message = `${messageOf(error)}; what it said before holds on`;
      if (message !== this.#told) {
        this.#told = message;
        onBroken(message);
      }
    }
  }

  /** @throws WatchedFileError */
  #parse(text: string): T {
    const { path, parse } = this.#options;
    try {
      return parse(text);
    } catch (error) {
      return throwUnusable(path)(error);
    }
  }
}

/** @throws WatchedFileError */
function readNow<T>({ path, parse }: WatchedFileOptions<T>): { seen: string; value: T } {
  try {
    // Before it is read: what changes meanwhile is seen the next time.
    const seen = identityOf(statSync(path, { bigint: true }));
    return { seen, value: parse(readFileSync(path, 'utf8')) };
  } catch (error) {
    return throwUnusable(path)(error);
  }
}

function throwUnusable(path: string): (error: unknown) => never {
  return (error) => {
    throw new WatchedFileError(`${path} cannot be used: ${messageOf(error)}`, { cause: error });
  };
}

/** Changes with whatever changes in a file. */
function identityOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
