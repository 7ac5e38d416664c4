import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { z } from 'zod';

const entryShape = z.object({
  id: z.string(),
  name: z.string().nullable(),
  /** Glance's. */
  status: z.string(),
  /**
   * `copied`; `there`, as it was before; `left out`, where there is nothing to copy; `to copy`, of a dry run; `refused` by
   * Darkroom; `failed`.
   */
  outcome: z.enum(['copied', 'there', 'left out', 'to copy', 'refused', 'failed']),
  reason: z.string().optional(),
  message: z.string().optional(),
  /** What is different from Glance, or could not be done. */
  notes: z.array(z.string()),
  /** Of the image. */
  bytes: z.number().nullable(),
  /** By this run; fewer where an upload was gone on with. */
  bytes_sent: z.number(),
  seconds: z.number(),
  /** How the bytes were found right. */
  verified: z.string().optional(),
  /** Glance's. */
  digest: z.object({ algorithm: z.string(), value: z.string() }).optional(),
  /** Of the bytes; Darkroom says the same. */
  sha256: z.string().optional(),
  /** What Glance said of the bytes then. */
  source_state: z.string().optional(),
});

/** What became of one image. */
export type ReportEntry = z.infer<typeof entryShape>;
export type Outcome = ReportEntry['outcome'];

const reportShape = z.object({
  kind: z.literal('darkroom migrate-from-glance'),
  from: z.string(),
  to: z.string(),
  images: z.array(entryShape),
});

/** A file of that name is no report, or cannot be used. */
export class ReportFileError extends Error {
  override readonly name = 'ReportFileError';
}

/** The report is written so often while images come to their ends, in ms; a run that is killed loses no more of it. */
const intervalMs = 500;

/** What became of the images, in this run and, where a file tells it, in earlier ones. */
export class MigrationReport {
  readonly #path: string | undefined;
  readonly #from: string;
  readonly #to: string;
  readonly #entries = new Map<string, ReportEntry>();
  readonly #earlier: ReadonlyMap<string, ReportEntry>;
  #writtenAt = 0;

  /** @param path of the file; undefined for none. @throws ReportFileError */
  constructor(path: string | undefined, from: string, to: string) {
    this.#path = path;
    this.#from = from;
    this.#to = to;
    this.#earlier = path === undefined ? new Map() : earlierEntries(path, from, to);
  }

  /** What an earlier run has told of an image. */
  earlier(id: string): ReportEntry | undefined {
    return this.#earlier.get(id);
  }

  /** What became of the images of this run. */
  get entries(): readonly ReportEntry[] {
    return [...this.#entries.values()];
  }

  /** @throws ReportFileError */
  add(entry: ReportEntry): void {
    this.#entries.set(entry.id, entry);
    if (Date.now() - this.#writtenAt >= intervalMs) {
      this.write();
    }
  }

  /** Writes the file, in one step. @throws ReportFileError */
  write(): void {
    if (this.#path === undefined) {
      return;
    }
    const images = [...new Map([...this.#earlier, ...this.#entries]).values()];
    const report = {
      kind: 'darkroom migrate-from-glance',
      from: this.#from,
      to: this.#to,
      images,
    } satisfies z.infer<typeof reportShape>;
    const draft = `${this.#path}.${process.pid}.new`;
    try {
      writeFileSync(draft, `${JSON.stringify(report, undefined, 2)}\n`);
      renameSync(draft, this.#path);
    } catch (error) {
      throw new ReportFileError(`the report ${this.#path} cannot be written: ${messageOf(error)}`);
    }
    this.#writtenAt = Date.now();
  }
}

function earlierEntries(path: string, from: string, to: string): Map<string, ReportEntry> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return new Map();
    }
    throw new ReportFileError(`the report ${path} cannot be read: ${messageOf(error)}`);
  }
  const report = reportIn(text);
  if (report === undefined) {
    throw new ReportFileError(
      `${path} is there, and is no report of this command; name another file`,
    );
  }
  if (report.from !== from || report.to !== to) {
    throw new ReportFileError(
      `${path} is the report of a copy from ${report.from} to ${report.to}; name another file`,
    );
  }
  return new Map(report.images.map((entry) => [entry.id, entry]));
}

function reportIn(text: string): z.infer<typeof reportShape> | undefined {
  try {
    return reportShape.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
