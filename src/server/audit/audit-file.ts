import { closeSync, fstatSync, openSync, statSync, writeSync } from 'node:fs';

/** How often is looked whether the file was moved away, in ms. */
const lookIntervalMs = 1000;

/** How often the log tells that lines could not be written, at most, in ms. */
const complaintIntervalMs = 10_000;

/** Who reads it is the operator's to say; nobody else's by default. */
const fileMode = 0o640;

/** Where is told what cannot be written; pino fits. */
export interface AuditFileLogger {
  error(fields: object, message: string): void;
}

/** Thrown where the file cannot be opened at a start. */
export class AuditFileError extends Error {
  override readonly name = 'AuditFileError';
}

/**
 * A file that lines are added to, each by one write, so that several processes may have the same. A line is in the
 * hands of the system when `add` returns. Where the file was moved or removed, as by logrotate, a new one is begun within a
 * second.
 */
export class AuditFile {
  readonly #path: string;
  readonly #logger: AuditFileLogger;
  readonly #timer: NodeJS.Timeout;
  #file: number | undefined;
  /** Whether the last write stopped in the middle of a line. */
  #isInLine = false;
  #lost = 0;
  #complainedAt = -Infinity;

  /** @throws AuditFileError */
  constructor(path: string, logger: AuditFileLogger) {
    this.#path = path;
    this.#logger = logger;
    try {
      this.#file = openForAppending(path);
    } catch (cause) {
      throw new AuditFileError(
        `the audit log ${path} cannot be opened (${messageOf(cause)}): make its folder, let the service write there, or ` +
          'set DARKROOM_AUDIT_FILE to another path',
        { cause },
      );
    }
    this.#timer = setInterval(() => this.#followPath(), lookIntervalMs).unref();
  }

  /** Adds a line. Never throws: what cannot be written is counted, and told in the service's log. */
  add(line: string): void {
    try {
      this.#file ??= openForAppending(this.#path);
      this.#write(this.#file, `${this.#isInLine ? '\n' : ''}${line}\n`);
      this.#tellLoss();
    } catch (error) {
      this.#lost += 1;
      this.#complain(error);
    }
  }

  /** Closes the file. */
  close(): void {
    clearInterval(this.#timer);
    this.#release();
  }

  #write(file: number, text: string): void {
    const bytes = Buffer.from(text);
    for (let written = 0; written < bytes.length;) {
      written += writeSync(file, bytes, written);
      this.#isInLine = written < bytes.length;
    }
  }

  /** In the file itself, once it can be written again: whoever reads it has to know that it is not whole. */
  #tellLoss(): void {
    if (this.#lost > 0 && this.#file !== undefined) {
      const told = this.#lost;
      this.#write(
        this.#file,
        `${JSON.stringify({ time: new Date().toISOString(), lost: told })}\n`,
      );
      this.#lost = 0;
    }
  }

  #complain(error: unknown): void {
    const now = performance.now();
    if (now - this.#complainedAt >= complaintIntervalMs) {
      this.#complainedAt = now;
      this.#logger.error(
        { err: error, path: this.#path, lost: this.#lost },
        'the audit log cannot be written: make room for it, or let the service write there; calls go on',
      );
    }
  }

  #followPath(): void {
    if (this.#file === undefined) {
      return;
    }
    try {
      const [own, found] = [fstatSync(this.#file), statSync(this.#path)];
      if (own.ino === found.ino && own.dev === found.dev) {
        return;
      }
    } catch {
      // It is gone: the next line begins a new one.
    }
    this.#release();
  }

  #release(): void {
    if (this.#file !== undefined) {
      closeSync(this.#file);
      this.#file = undefined;
      this.#isInLine = false;
    }
  }
}

function openForAppending(path: string): number {
  return openSync(path, 'a', fileMode);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
