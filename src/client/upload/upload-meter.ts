import type { ConnectionState } from '../calls/client-calls.ts';
import type { ImagePiece } from './image-pieces.ts';
import type { UploadProgress, UploadStep } from './upload-options.ts';

/** Progress is told so often at most, in ms. */
const tellMs = 100;
/** The rate is that of so many ms. */
const rateMs = 5_000;

/** Counts what an upload does, and tells it. */
export class UploadMeter {
  readonly #tell: ((progress: UploadProgress) => void) | undefined;
  readonly #sizeBytes: number | undefined;
  #step: UploadStep = 'starting';
  #taskId: string | undefined;
  #imageId: string | undefined;
  #committedBytes = 0;
  #position = 0;
  #sentBytes = 0;
  #holeBytes = 0;
  #holesTo = 0;
  #resumes = 0;
  #waiting: UploadProgress['waiting'];
  #toldMs = 0;
  /** Places and when they were reached. */
  #reached: { readonly atMs: number; readonly position: number }[] = [];

  constructor(
    sizeBytes: number | undefined,
    tell: ((progress: UploadProgress) => void) | undefined,
  ) {
    this.#sizeBytes = sizeBytes;
    this.#tell = tell;
  }

  get sentBytes(): number {
    return this.#sentBytes;
  }

  get holeBytes(): number {
    return this.#holeBytes;
  }

  get resumes(): number {
    return this.#resumes;
  }

  get committedBytes(): number {
    return this.#committedBytes;
  }

  isFor(taskId: string, imageId: string): void {
    this.#taskId = taskId;
    this.#imageId = imageId;
  }

  step(step: UploadStep): void {
    this.#step = step;
    this.#waiting = undefined;
    this.#now();
  }

  waits(waiting: Extract<ConnectionState, { state: 'waiting' }>): void {
    this.#step = 'waiting';
    this.#waiting = waiting;
    this.#now();
  }

  /** It goes on from a place. */
  goesOn(position: number, isResume: boolean): void {
    this.#resumes += isResume ? 1 : 0;
    this.#position = position;
    this.#reached = [{ atMs: performance.now(), position }];
  }

  /** A place was reached without sending anything. */
  read(position: number): void {
    this.#position = position;
    this.#soon();
  }

  sent({ offset, data, length }: ImagePiece): void {
    this.#position = offset + length;
    if (data === undefined) {
      this.#holeBytes += Math.max(0, this.#position - Math.max(offset, this.#holesTo));
      this.#holesTo = Math.max(this.#holesTo, this.#position);
    } else {
      this.#sentBytes += data.length;
    }
    this.#soon();
  }

  committed(bytes: number): void {
    this.#committedBytes = Math.max(this.#committedBytes, bytes);
    this.#soon();
  }

  #soon(): void {
    if (performance.now() - this.#toldMs >= tellMs) {
      this.#now();
    }
  }

  #now(): void {
    if (this.#tell === undefined) {
      return;
    }
    this.#toldMs = performance.now();
    this.#tell({
      step: this.#step,
      taskId: this.#taskId,
      imageId: this.#imageId,
      sizeBytes: this.#sizeBytes,
      committedBytes: this.#committedBytes,
      position: this.#position,
      sentBytes: this.#sentBytes,
      holeBytes: this.#holeBytes,
      bytesPerSecond: this.#rate(),
      resumes: this.#resumes,
      waiting: this.#waiting,
    });
  }

  #rate(): number {
    const nowMs = performance.now();
    this.#reached.push({ atMs: nowMs, position: this.#position });
    while (this.#reached.length > 2 && nowMs - (this.#reached[0]?.atMs ?? nowMs) > rateMs) {
      this.#reached.shift();
    }
    const [first] = this.#reached;
    return first === undefined || nowMs <= first.atMs
      ? 0
      : Math.max(0, ((this.#position - first.position) / (nowMs - first.atMs)) * 1000);
  }
}
