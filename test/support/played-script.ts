import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { repository } from './service-process.ts';

/** What a script of the repository wrote, and how it ended. */
export interface PlayedScript {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a script in a process of its own, since clients whose service or connection is taken away make much noise. */
export async function playScript(path: string, args: readonly string[]): Promise<PlayedScript> {
  const child = spawn(process.execPath, [path, ...args], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const collect = (data: Buffer): void => void (output += data.toString());
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}
