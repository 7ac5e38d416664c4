import { readFile, rename, rm, writeFile } from 'node:fs/promises';

/** Bytes from `from` to before `to`. */
export type Range = readonly [from: number, to: number];

/** What is known of a file that was not downloaded to its end. */
interface KeptRecord {
  readonly imageId: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly done: readonly Range[];
}

/** Which parts of an image are in a file for good; kept beside it, so that another process can go on. */
export class PartRecord {
  readonly #path: string;
  readonly #image: Omit<KeptRecord, 'done'>;
  #done: Range[];

  private constructor(path: string, image: Omit<KeptRecord, 'done'>, done: readonly Range[]) {
    this.#path = path;
    this.#image = image;
    this.#done = [...done];
  }

  /** The record at a path, or an empty one where there is none, or that of another image. */
  static async open(path: string, image: Omit<KeptRecord, 'done'>): Promise<PartRecord> {
    let done: readonly Range[] = [];
    try {
      const kept = JSON.parse(await readFile(path, 'utf8')) as KeptRecord;
      const isSame =
        kept.imageId === image.imageId &&
        kept.sha256 === image.sha256 &&
        kept.sizeBytes === image.sizeBytes;
      done = isSame && Array.isArray(kept.done) ? kept.done.filter(isRange) : [];
    } catch {
      // There is none, or it was cut short by a crash: then all is read again.
    }
    return new PartRecord(path, image, merged(done));
  }

  /** How many bytes there are. */
  get doneBytes(): number {
    return this.#done.reduce((sum, [from, to]) => sum + to - from, 0);
  }

  /** Up to where there are all bytes. */
  get prefix(): number {
    const [first] = this.#done;
    return first?.[0] === 0 ? first[1] : 0;
  }

  /** Nothing of it is there after all. */
  forget(): void {
    this.#done = [];
  }

  add(range: Range): void {
    this.#done = merged([...this.#done, range]);
  }

  /** What is not there, in pieces of so many bytes at most. */
  missing(pieceBytes: number): Range[] {
    const missing: Range[] = [];
    let at = 0;
    for (const [from, to] of [
      ...this.#done,
      [this.#image.sizeBytes, this.#image.sizeBytes] as const,
    ]) {
      for (; at < from; at += pieceBytes) {
        missing.push([at, Math.min(from, at + pieceBytes)]);
      }
      at = to;
    }
    return missing;
  }

  /** What there is now. */
  get done(): readonly Range[] {
    return this.#done.map(([from, to]) => [from, to]);
  }

  /** Writes down what there was: it must be durable. */
  async save(done: readonly Range[]): Promise<void> {
    const text = JSON.stringify({ ...this.#image, done } satisfies KeptRecord);
    await writeFile(`${this.#path}.new`, text);
    await rename(`${this.#path}.new`, this.#path);
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }
}

function isRange(value: unknown): value is Range {
  return (
    Array.isArray(value) &&
    Number.isSafeInteger(value[0]) &&
    Number.isSafeInteger(value[1]) &&
    value[0] >= 0 &&
    value[0] <= value[1]
  );
}

/** The same bytes as ranges in order that do not touch. */
function merged(ranges: readonly Range[]): Range[] {
  const all: [number, number][] = [];
  for (const [from, to] of ranges.toSorted((one, other) => one[0] - other[0])) {
    const last = all.at(-1);
    if (last !== undefined && from <= last[1]) {
      last[1] = Math.max(last[1], to);
    } else if (to > from) {
      all.push([from, to]);
    }
  }
  return all;
}
