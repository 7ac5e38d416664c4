import { readFileSync, statSync } from 'node:fs';

/** How often a file is looked at, in ms. */
const intervalMs = 500;

/** What to do with a file. */
export interface WatchedFileOptions<T> {
  readonly path: string;
  /** Makes something of its text. @throws Error with what is wrong, in words that complete "<path> …". */
  readonly parse: (text: string) => T;
  /** Called with what a change of the file has brought. */
  readonly onChange: (value: T) => void;
  /** Called once for each change that cannot be read; what was there before stays. */
  readonly onBroken: (message: string) => void;
}

/** Thrown at a start for a file that cannot be used. */
export class IdentityFileError extends Error {
  override readonly name = 'IdentityFileError';
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

  /** @throws IdentityFileError where the file cannot be read, or makes no sense. */
  constructor(options: WatchedFileOptions<T>) {
    this.#options = options;
    // Before it is read: what changes meanwhile is seen the next time.
    this.#seen = lookOf(options.path);
    this.#value = this.#read();
    this.#timer = setInterval(() => this.#look(), intervalMs).unref();
  }

  get value(): T {
    return this.#value;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { path, onBroken, onChange } = this.#options;
    const look = lookOf(path);
    if (look === this.#seen) {
      return;
    }
    this.#seen = look;
    try {
      this.#value = this.#read();
    } catch (error) {
      onBroken(`${messageOf(error)}; what it said before holds on`);
      return;
    }
    onChange(this.#value);
  }

  #read(): T {
    const { path, parse } = this.#options;
    try {
      return parse(readFileSync(path, 'utf8'));
    } catch (error) {
      throw new IdentityFileError(`${path} cannot be used: ${messageOf(error)}`, { cause: error });
    }
  }
}

/** Changes with whatever changes in a file. */
function lookOf(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    return messageOf(error);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
