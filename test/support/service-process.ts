import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { inject } from 'vitest';
import type { Account } from './unprivileged.ts';

/** The checkout. */
export const repository = fileURLToPath(new URL('../..', import.meta.url));

/** Has the kernel kill a service whose test run died, however it did: a part of util-linux, as every Debian has it. */
export const leash: readonly string[] = existsSync('/usr/bin/setpriv')
  ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL']
  : [];

/** A service that is not ready by then never will be, in ms, on however busy a machine. */
const startTimeoutMs = 100_000;

/** A line of the service's log. */
export type LogLine = Readonly<Record<string, unknown>> & { readonly msg?: string };

/** The real service in a process of its own. */
export interface ServiceProcess {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  readonly pid: number;
  readonly log: readonly LogLine[];
  /** Resolves with the first line of the log, written already or later, that the test is looking for. */
  line(isMeant: (line: LogLine) => boolean): Promise<LogLine>;
  /** All that it wrote, as it wrote it. */
  readonly output: () => string;
  /** Sends a signal and waits for the end; answers the exit code, or the signal it died of. */
  kill(signal: 'SIGTERM' | 'SIGINT' | 'SIGKILL'): Promise<number | NodeJS.Signals>;
  /** Sends a signal without waiting. */
  signal(signal: NodeJS.Signals): void;
  /** Resolves with the exit code, or the signal, when the process has ended. */
  readonly exited: Promise<number | NodeJS.Signals>;
}

/** How to start the service. */
export interface ServiceProcessOptions {
  readonly dataDir: string;
  /** Undefined for the embedded PostgreSQL. */
  readonly databaseUrl?: string | undefined;
  readonly env?: Readonly<Record<string, string>>;
  /** The user to run as; this process's own if not set. */
  readonly account?: Account;
}

/** Thrown when the service ended before it was ready. */
export class ServiceStartError extends Error {
  readonly exit: number | NodeJS.Signals;
  readonly output: string;

  constructor(exit: number | NodeJS.Signals, output: string) {
    super(`the service ended with ${exit} before it was ready:\n${output}`);
    this.exit = exit;
    this.output = output;
  }
}

/** The real service in a process of its own, which may still be starting. */
export interface StartingProcess extends Omit<ServiceProcess, 'url'> {
  /** Resolves with its URL when it is ready. Rejects with ServiceStartError if it ends before. */
  readonly ready: Promise<string>;
}

/** Starts the service, on a free port if no other is given. */
export function launchService(options: ServiceProcessOptions): StartingProcess {
  const [program, ...args] = [...leash, process.execPath, 'src/main.mjs'];
  const child = spawn(program, args, {
    cwd: repository,
    ...options.account,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      TMPDIR: process.env['TMPDIR'],
      DARKROOM_PORT: '0',
      DARKROOM_PROCESSES: '1',
      DARKROOM_DATA_DIR: options.dataDir,
      DARKROOM_LOG_LEVEL: 'debug',
      DARKROOM_DRAIN_TIMEOUT_MS: '2000',
      ...(options.databaseUrl ? { DATABASE_URL: options.databaseUrl } : {}),
      ...options.env,
    },
  });
  const exited = exitOf(child);
  const log: LogLine[] = [];
  let output = '';
  const seekers = new Set<(line: LogLine) => void>();
  createInterface({ input: child.stderr }).on('line', (line) => (output += `${line}\n`));
  createInterface({ input: child.stdout }).on('line', (text) => {
    output += `${text}\n`;
    let line: LogLine;
    try {
      line = JSON.parse(text);
    } catch {
      return;
    }
    log.push(line);
    seekers.forEach((seek) => seek(line));
  });
  const line = async (isMeant: (line: LogLine) => boolean): Promise<LogLine> => {
    const found = Promise.withResolvers<LogLine>();
    const seek = (candidate: LogLine): void => {
      if (isMeant(candidate)) {
        found.resolve(candidate);
      }
    };
    log.forEach(seek);
    seekers.add(seek);
    const late = setTimeout(() => {
      output += `killed: what was waited for did not come within ${startTimeoutMs} ms\n`;
      child.kill('SIGKILL');
    }, startTimeoutMs);
    try {
      return await Promise.race([
        found.promise,
        exited.then((exit) => {
          throw new ServiceStartError(exit, output);
        }),
      ]);
    } finally {
      clearTimeout(late);
      seekers.delete(seek);
    }
  };
  const ready = line(({ msg }) => msg?.startsWith('Darkroom is ready') === true).then(({ url }) =>
    String(url),
  );
  // Not every test waits for it.
  ready.catch(() => {});
  return {
    ready,
    line,
    pid: child.pid ?? 0,
    log,
    output: () => output,
    exited,
    signal: (signal) => void child.kill(signal),
    kill(signal) {
      child.kill(signal);
      return exited;
    },
  };
}

/** Starts the service on a free port and waits until it is ready. @throws ServiceStartError */
export async function startServiceProcess(options: ServiceProcessOptions): Promise<ServiceProcess> {
  const service = launchService(options);
  return { ...service, url: await service.ready };
}

/** How a service ended that must not start; fails if it does. */
export async function failureToStart(options: ServiceProcessOptions): Promise<ServiceStartError> {
  let service: ServiceProcess;
  try {
    service = await startServiceProcess(options);
  } catch (error) {
    if (error instanceof ServiceStartError) {
      return error;
    }
    throw error;
  }
  await service.kill('SIGKILL');
  throw new Error('the service should not have started');
}

/** 'close' comes after all output was read; 'exit' may come before. */
async function exitOf(child: ChildProcess): Promise<number | NodeJS.Signals> {
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  return code ?? signal ?? 0;
}

/**
 * A data folder that is removed with `await using`, or by its `remove`.
 *
 * @param medium to make the 256 folders of a store takes a hundred times as long on some disks as in memory, but only a
 *   disk is particular about writes past the page cache.
 */
export async function makeDataDir(medium: 'memory' | 'disk' = 'memory'): Promise<DataDir> {
  const parent = medium === 'disk' ? tmpdir() : inject('sharedFolder');
  const path = await mkdtemp(join(parent, 'darkroom-data-'));
  const remove = (): Promise<void> => rm(path, { recursive: true, force: true });
  return { path, remove, [Symbol.asyncDispose]: remove };
}

/** A folder of a test's own. */
export interface DataDir extends AsyncDisposable {
  readonly path: string;
  readonly remove: () => Promise<void>;
}
