import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const repository = fileURLToPath(new URL('..', import.meta.url));
/** A start that takes longer hangs: on a busy machine a good one takes 10 s. */
const startTimeoutMs = 90_000;

/** How to run one process of the service. */
export interface ServiceRunnerOptions {
  readonly name: string;
  readonly port: number;
  /** Where its log is appended. */
  readonly logPath: string;
  /** The environment of the next start. */
  readonly env: () => Readonly<Record<string, string>>;
  /** How long until it is started again after its end, in ms. */
  readonly restartDelayMs: () => number;
  /** Told of what a service must not do, such as to end by itself. */
  readonly violate: (sentence: string) => void;
  readonly note: (line: string) => void;
}

/** How long something takes that is done again and again, in ms; a single long time does not count for much. */
class UsualTime {
  ms: number;

  constructor(guess: number) {
    this.ms = guess;
  }

  note(ms: number): void {
    this.ms = 0.7 * this.ms + 0.3 * Math.min(ms, 2 * this.ms);
  }
}

/** Runs `src/main.mjs` as an init system would: again and again, whatever it dies of. */
export class ServiceRunner {
  readonly name: string;
  readonly url: string;
  readonly #options: ServiceRunnerOptions;
  readonly #log: WriteStream;
  #child: ChildProcess | undefined;
  #isReady = false;
  #changed = Promise.withResolvers<void>();
  /** The signals that were sent to the present process: its end is no surprise then. */
  readonly #sent = new Set<NodeJS.Signals>();
  /** Whether it was told twice. */
  #isHurried = false;
  #wasReady = false;
  /** Whether the log says that all of it is stopped. */
  #hasStopped = false;
  #stopping = false;
  #running: Promise<void> | undefined;
  /** How often it was started. */
  starts = 0;
  /** How long starts take that come to their end, in ms. */
  readonly usualStart = new UsualTime(1000);
  /** How long stops take that come to their end, in ms. */
  readonly usualStop = new UsualTime(300);
  #toldToStopAt = 0;

  constructor(options: ServiceRunnerOptions) {
    this.#options = options;
    this.name = options.name;
    this.url = `http://127.0.0.1:${options.port}`;
    this.#log = createWriteStream(options.logPath, { flags: 'a' });
  }

  /** The present process; undefined between two. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Begins to run it. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when a process is ready that nobody has told to end. @throws if it was stopped for good. */
  async untilReady(): Promise<void> {
    while (!this.#isReady) {
      if (this.#stopping) {
        throw new Error(`${this.name} was stopped`);
      }
      await this.#changed.promise;
    }
  }

  /** Resolves when the next process starts after so many starts; with false if none does within so many ms. */
  async untilStarting(starts: number, ms: number): Promise<boolean> {
    const late = new AbortController();
    const isLate = sleep(ms, true, { signal: late.signal }).catch(() => true);
    try {
      while (this.starts <= starts) {
        if (await Promise.race([this.#changed.promise, isLate])) {
          return false;
        }
      }
      return true;
    } finally {
      late.abort();
    }
  }

  /** Sends a signal to the present process, if there is one. Answers whether it was sent. */
  strike(signal: NodeJS.Signals): boolean {
    // A second SIGTERM is another thing: see strikeAgain.
    if (!this.#isThere || (signal === 'SIGTERM' && this.#sent.has(signal))) {
      return false;
    }
    this.#sent.add(signal);
    if (signal === 'SIGKILL' || signal === 'SIGTERM') {
      this.#toldToStopAt = performance.now();
      this.#tellReady(false);
    }
    return this.#child?.kill(signal) ?? false;
  }

  /** Sends a second SIGTERM, at which a service ends at once, with exit code 1. Answers whether it was sent. */
  strikeAgain(): boolean {
    this.#isHurried = this.#isThere && this.#sent.has('SIGTERM');
    return this.#isHurried && (this.#child?.kill('SIGTERM') ?? false);
  }

  get #isThere(): boolean {
    const child = this.#child;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** Ends it for good, with SIGTERM, or with SIGKILL if it does not end within 30 s. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.strike('SIGCONT');
    this.strike('SIGTERM');
    const late = setTimeout(() => {
      this.#options.violate(`${this.name} did not end within 30 s after SIGTERM`);
      this.strike('SIGKILL');
    }, 30_000);
    await this.#running;
    clearTimeout(late);
    await new Promise((resolve) => this.#log.end(resolve));
  }

  /** Cuts it off at once, from where nothing can be awaited. */
  abandon(): void {
    this.#stopping = true;
    this.strike('SIGKILL');
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      const child = this.#spawn();
      // 'close' comes after all of the log was read; 'exit' may come before.
      const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
      this.#judgeEnd(code, signal);
      this.#child = undefined;
      this.#tellReady(false);
      if (!this.#stopping) {
        await sleep(this.#options.restartDelayMs());
      }
    }
  }

  #spawn(): ChildProcess {
    const { port, env } = this.#options;
    this.starts += 1;
    this.#sent.clear();
    this.#isHurried = false;
    this.#wasReady = false;
    this.#hasStopped = false;
    const begun = performance.now();
    const child = spawn(process.execPath, ['src/main.mjs'], {
      cwd: repository,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        TMPDIR: process.env['TMPDIR'],
        DARKROOM_PORT: String(port),
        DARKROOM_PROCESSES: '1',
        DARKROOM_LOG_LEVEL: 'debug',
        ...env(),
      },
    });
    this.#child = child;
    this.#tellReady(false);
    this.#log.write(`--- start ${this.starts}, pid ${child.pid}\n`);
    const late = setTimeout(() => {
      this.#options.violate(
        `${this.name} was not ready ${startTimeoutMs / 1000} s after its start`,
      );
      child.kill('SIGKILL');
    }, startTimeoutMs).unref();
    const onLine = (line: string): void => {
      this.#log.write(`${line}\n`);
      this.#hasStopped ||= line.includes('"msg":"stopped"');
      if (line.includes('"msg":"Darkroom is ready on ')) {
        clearTimeout(late);
        this.usualStart.note(performance.now() - begun);
        this.#wasReady = true;
        this.#tellReady(!this.#sent.has('SIGKILL') && !this.#sent.has('SIGTERM'));
      }
    };
    createInterface({ input: child.stdout }).on('line', onLine);
    createInterface({ input: child.stderr }).on('line', onLine);
    child.once('exit', () => clearTimeout(late));
    return child;
  }

  #judgeEnd(code: number | null, signal: string | null): void {
    const { violate, note } = this.#options;
    const end = signal ?? `exit code ${code}`;
    this.#log.write(`--- ended with ${end}\n`);
    note(`${this.name} ended with ${end}`);
    if (this.#sent.has('SIGKILL')) {
      return;
    }
    if (this.#sent.has('SIGTERM')) {
      // When all is stopped Node lets go of its signals, some time before the process is gone.
      const isGoneAnyway = this.#hasStopped && signal === 'SIGTERM';
      const isAtOnce = this.#isHurried && (code === 1 || isGoneAnyway);
      // Before it has begun to listen to signals it dies of them.
      const isUnheard = !this.#wasReady && signal === 'SIGTERM';
      if (code === 0) {
        this.usualStop.note(performance.now() - this.#toldToStopAt);
      } else if (!isAtOnce && !isUnheard) {
        violate(`${this.name} ended with ${end} after SIGTERM, not with exit code 0`);
      }
      return;
    }
    violate(`${this.name} ended by itself with ${end}`);
  }

  /** Wakes whoever waits for the service. */
  #tellReady(isReady: boolean): void {
    this.#isReady = isReady;
    const { resolve } = this.#changed;
    this.#changed = Promise.withResolvers();
    resolve();
  }
}
