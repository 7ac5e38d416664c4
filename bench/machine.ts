import { execFile } from 'node:child_process';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** One line of what the numbers were measured on, and how busy it was. */
export async function describeMachine(): Promise<string> {
  const commit = await run('git', ['rev-parse', '--short', 'HEAD'], { cwd: import.meta.dirname })
    .then(({ stdout }) => stdout.trim())
    .catch(() => 'unknown');
  return [
    new Date().toISOString().slice(0, 16).replace('T', ' '),
    `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'})`,
    `${Math.round(totalmem() / 1024 ** 3)} GiB`,
    `${process.platform} ${process.arch}`,
    `Node ${process.version}`,
    `commit ${commit}`,
    `load ${loadavg()
      .map((load) => load.toFixed(1))
      .join(' ')}`,
  ].join(' · ');
}
