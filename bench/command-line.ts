import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

/** The benchmarks, in the order in which `all` runs them. */
export const benchNames = [
  'upload',
  'small',
  'download',
  'watch',
  'lists',
  'ids',
  'floods',
  'peers',
  'resume',
  'starts',
  'rest',
  'distance',
  'client',
] as const;
export type BenchName = (typeof benchNames)[number];

/** What a benchmark is told. */
export interface BenchOptions {
  /** Rounds; the medians are over these. */
  readonly runs: number;
  /** Of the image of `upload`, `download`, `peers` and `client`. */
  readonly mib: number;
  /** Of the image of `resume`. */
  readonly resumeMib: number;
  /** How long each measurement of `small`, `ids` and `floods`, each phase of `watch`, and the rest of `starts` lasts. */
  readonly seconds: number;
  /** How long `rest` lets the service alone after its work. */
  readonly restSeconds: number;
  /** Of `watch`. */
  readonly watchers: number;
  /** Of `lists`. */
  readonly tasks: number;
  /** Whether `lists` shows the plans of its queries. */
  readonly plans: boolean;
  /** Whether a case is to be measured, by its name. */
  readonly wants: (name: string) => boolean;
  /** Where to write CPU profiles of the service; undefined for none. */
  readonly profileFolder: string | undefined;
  /** Where to write what was measured; undefined for nowhere. */
  readonly reportFolder: string | undefined;
  /** Whether what is measured has a floor. */
  readonly isQuick: boolean;
  /** A Glance that runs, to be measured by `peers` and `download`: where it listens, and its first process. */
  readonly glance: { readonly url: string; readonly pid: number } | undefined;
  /** A folder into which `@tus/server` and `@tus/file-store` were installed, to be measured by `peers`. */
  readonly tus: string | undefined;
}

/** Thrown for a command line that makes no sense; the message is for the terminal. */
export class UsageError extends Error {}

const usage = `npm run bench -- [${benchNames.join('|')}|all] [options]

  --runs N         rounds; each measures every subject once (default 5)
  --mib N          size of the image of upload, download and client; rest uploads 16 of a quarter of it (default 1024)
  --resume-mib N   size of the image of resume (default 4096)
  --seconds N      length of each measurement of small, ids and floods, of each phase of watch, and of the rest of starts
                   (default 10)
  --rest-seconds N how long rest lets the service alone after its work (default 30)
  --watchers N     watchers of watch (default 10000)
  --tasks N        tasks of lists; a fifth as many images (default 1000000)
  --plans          lists: show the plans of the queries
  --only TEXT      only the cases whose name holds TEXT; may be given several times
  --profile DIR    write CPU profiles of the service to DIR
  --report DIR     write what was measured to DIR, as JSON, as a table and as a chart
  --quick          less than two minutes of upload and small, and exit code 1 where they are far too slow
  --glance URL,PID peers, download: a Glance that runs, and the pid of its first process
  --tus DIR        peers: a folder in which \`npm install @tus/server @tus/file-store\` was run`;

/** Reads the command line. @throws UsageError */
export function readCommandLine(args: readonly string[]): {
  readonly benches: readonly BenchName[];
  readonly options: BenchOptions;
} {
  const { values, positionals } = parse(args);
  if (values.help) {
    throw new UsageError(usage);
  }
  const usual = values.quick ? ['upload', 'small'] : ['all'];
  const names = positionals.length === 0 ? usual : positionals;
  const benches = names.includes('all')
    ? benchNames
    : names.map((name) => {
        const bench = benchNames.find((known) => known === name);
        if (!bench) {
          throw new UsageError(`There is no benchmark ${name}.\n\n${usage}`);
        }
        return bench;
      });
  return {
    benches,
    options: {
      runs: count('runs', values.runs),
      mib: count('mib', values.mib),
      resumeMib: count('resume-mib', values['resume-mib']),
      seconds: count('seconds', values.seconds),
      restSeconds: count('rest-seconds', values['rest-seconds']),
      watchers: count('watchers', values.watchers),
      tasks: count('tasks', values.tasks),
      plans: values.plans,
      wants: (name) =>
        values.only.some((one) => name.includes(one)) &&
        (!values.quick || quickCases.some((one) => name.includes(one))),
      profileFolder: values.profile,
      reportFolder: values.report,
      isQuick: values.quick,
      glance: values.glance === undefined ? undefined : glance(values.glance),
      tus: values.tus === undefined ? undefined : resolve(values.tus),
    },
  };
}

/** What `--quick` measures: what most callers do. */
const quickCases = ['chunks of 1 MiB', 'CreateImage, 16 callers', 'GetImage, 16 callers'];

function parse(args: readonly string[]) {
  const [runs, mib, seconds] = args.includes('--quick') ? ['3', '256', '3'] : ['5', '1024', '10'];
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        runs: { type: 'string', default: runs },
        mib: { type: 'string', default: mib },
        'resume-mib': { type: 'string', default: '4096' },
        seconds: { type: 'string', default: seconds },
        'rest-seconds': { type: 'string', default: '30' },
        watchers: { type: 'string', default: '10000' },
        tasks: { type: 'string', default: '1000000' },
        plans: { type: 'boolean', default: false },
        only: { type: 'string', multiple: true, default: [''] },
        profile: { type: 'string' },
        report: { type: 'string' },
        quick: { type: 'boolean', default: false },
        glance: { type: 'string' },
        tus: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  }
}

function glance(text: string): NonNullable<BenchOptions['glance']> {
  const [, url = '', pid] = /^(https?:\/\/[^,]+),(\d+)$/.exec(text) ?? [];
  if (pid === undefined) {
    throw new UsageError(
      `--glance must be a URL and a pid, such as http://127.0.0.1:9292,4711, not ${text}.\n\n${usage}`,
    );
  }
  return { url, pid: Number(pid) };
}

function count(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) {
    throw new UsageError(`--${name} must be a whole number of 1 or more, not ${text}.\n\n${usage}`);
  }
  return value;
}
