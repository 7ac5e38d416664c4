import type { ConnectionState } from '../calls/client-calls.ts';
import type { DownloadProgress } from './download-options.ts';
import type { ImagePart } from './read-image.ts';

/** Progress is told so often at most, in ms. */
const tellMs = 100;

/** Counts what a download does, and tells it. */
export class DownloadMeter {
  readonly #sizeBytes: number;
  readonly #tell: ((progress: DownloadProgress) => void) | undefined;
  readonly #begunMs = performance.now();
  readonly #keptBytes: number;
  #step: DownloadProgress['step'] = 'receiving';
  #receivedBytes = 0;
  #holeBytes = 0;
  #waiting: DownloadProgress['waiting'];
  #toldMs = 0;

  /** @param keptBytes what there is already */
  constructor(
    sizeBytes: number,
    tell: ((progress: DownloadProgress) => void) | undefined,
    keptBytes = 0,
  ) {
    this.#sizeBytes = sizeBytes;
    this.#tell = tell;
    this.#keptBytes = keptBytes;
  }

  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  get holeBytes(): number {
    return this.#holeBytes;
  }

  step(step: DownloadProgress['step']): void {
    this.#step = step;
    this.#now();
  }

  connection(connection: ConnectionState): void {
    this.#waiting = connection.state === 'waiting' ? connection : undefined;
    this.step(connection.state === 'waiting' ? 'waiting' : 'receiving');
  }

  came(part: ImagePart): void {
    if (part.kind === 'data') {
      this.#receivedBytes += part.data.length;
    } else {
      this.#holeBytes += part.length;
    }
    if (performance.now() - this.#toldMs >= tellMs) {
      this.#now();
    }
  }

  #now(): void {
    this.#toldMs = performance.now();
    const came = this.#receivedBytes + this.#holeBytes;
    const seconds = (this.#toldMs - this.#begunMs) / 1000;
    this.#tell?.({
      step: this.#step,
      sizeBytes: this.#sizeBytes,
      doneBytes: this.#keptBytes + came,
      receivedBytes: this.#receivedBytes,
      holeBytes: this.#holeBytes,
      bytesPerSecond: seconds > 0 ? came / seconds : 0,
      waiting: this.#waiting,
    });
  }
}
