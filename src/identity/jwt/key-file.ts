import { WatchedFile } from '../../runtime/watched-file.ts';
import { parseKeySet, type Keys, type KeySource } from './key-source.ts';

/** The keys of a file, which is read again whenever it changes. */
export class KeyFile implements KeySource {
  readonly #file: WatchedFile<Keys>;

  /** @throws WatchedFileError */
  constructor(path: string, onChange: () => void, onBroken: (message: string) => void) {
    this.#file = new WatchedFile({ path, parse: parseKeySet, onChange, onBroken });
  }

  knownKeys(): Keys {
    return this.#file.value;
  }

  fetchKeys(): Promise<Keys> {
    return Promise.resolve(this.#file.value);
  }

  close(): void {
    this.#file.close();
  }
}
