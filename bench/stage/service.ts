import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { keepTrackOf, type Stage } from './stage.ts';

/** The checkout. */
const repository = fileURLToPath(new URL('../..', import.meta.url));

/** The real service, in a process of its own. */
export interface BenchService {
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  readonly pid: number;
  /** Ends it as an operator would. */
  stop(): Promise<void>;
  /** Ends its first process at once, as a lack of memory would. */
  kill(): Promise<void>;
}

/** How to start the service. */
export interface BenchServiceOptions {
  /** Undefined for the embedded PostgreSQL, below the data folder. */
  readonly databaseUrl: string | undefined;
  /** Settings beyond the defaults. */
  readonly env?: Readonly<Record<string, string>>;
  /** For Node, beyond those of `npm start`. */
  readonly nodeArguments?: readonly string[];
  /** Where to write a CPU profile of it when it stops; undefined for none. */
  readonly profileFolder?: string | undefined;
  /** Told each line of its log from when it is ready. */
  readonly onLogLine?: (line: string) => void;
}

/** Starts one process of the service as `npm start` would, with its default settings otherwise, on a free port. Services of one stage have one data folder, one after the other. */
export async function startService(
  stage: Stage,
  options: BenchServiceOptions,
): Promise<BenchService> {
  const { databaseUrl, env = {}, nodeArguments = [], profileFolder, onLogLine } = options;
  // As `npm start` has it.
  const flags = ['--max-semi-space-size=16', '--v8-pool-size=0'];
  const profiling = ['--cpu-prof', '--cpu-prof-interval=500', `--cpu-prof-dir=${profileFolder}`];
  const child = spawn(
    process.execPath,
    [...flags, ...nodeArguments, ...(profileFolder ? profiling : []), 'src/main.mjs'],
    {
      cwd: repository,
      stdio: ['ignore', 'pipe', 'inherit'],
      // Not in the terminal's group: Ctrl-C is for the benchmark, which then stops the service.
      detached: true,
      env: {
        PATH: process.env['PATH'],
        HOME: process.env['HOME'],
        TMPDIR: process.env['TMPDIR'],
        DARKROOM_PORT: '0',
        DARKROOM_PROCESSES: '1',
        DARKROOM_DATA_DIR: join(stage.folder, 'data'),
        DARKROOM_DRAIN_TIMEOUT_MS: '1000',
        ...(databaseUrl !== undefined && { DATABASE_URL: databaseUrl }),
        ...env,
      },
    },
  );
  keepTrackOf(child);
  const closed = once(child, 'close');
  const endBy = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    child.kill(signal);
    await closed;
  };
  const stop = (): Promise<void> => endBy('SIGTERM');
  stage.defer(stop);
  const url = await untilReady(child);
  if (onLogLine !== undefined && child.stdout) {
    createInterface({ input: child.stdout }).on('line', onLogLine);
  } else {
    // The rest of the log is of no interest, and must not fill the pipe.
    child.stdout?.resume();
  }
  return { url, pid: child.pid ?? 0, stop, kill: () => endBy('SIGKILL') };
}

async function untilReady(child: ChildProcess): Promise<string> {
  const { stdout } = child;
  if (!stdout) {
    throw new Error('the service has no standard output');
  }
  const lines = createInterface({ input: stdout });
  const output: string[] = [];
  try {
    for await (const line of lines) {
      output.push(line);
      const { url } = JSON.parse(line) as { url?: unknown };
      if (typeof url === 'string') {
        return url;
      }
    }
  } finally {
    lines.close();
  }
  throw new Error(`the service ended before it was ready:\n${output.join('\n')}`);
}
