import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const rounds = 5;

/** Plays some rounds in a process of their own, since clients whose server is killed make much noise. */
async function play(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['chaos/main.ts', '--rounds', String(rounds), ...args], {
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

test.for([
  ['the embedded PostgreSQL', ['--processes', '1', '--seed', 'suite-1']],
  ['two processes on one PostgreSQL', ['--processes', '2', '--seed', 'suite-2']],
] as const)(
  `${rounds} rounds of uploads survive kills of everything, with %s`,
  { timeout: 300_000 },
  async ([, args]) => {
    const { code, output } = await play(args);
    expect(output).toContain(`${rounds} rounds with`);
    expect(output).not.toContain('VIOLATION');
    expect(code, output).toBe(0);
  },
);
