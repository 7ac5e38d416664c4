import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { repository } from '../support/service-process.ts';

const cases = 2000;

/** In a process of its own, since clients whose connections are closed under them make much noise. */
async function play(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['fuzz/main.ts', '--cases', String(cases), ...args], {
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

test(
  `${cases} malformed frames, envelopes, messages, requests, tokens and images are told what is wrong with them`,
  { timeout: 300_000 },
  async () => {
    const { code, output } = await play(['--seed', 'suite']);
    expect(output).toContain(`${cases} cases with seed suite`);
    expect(output).not.toContain('VIOLATION');
    // Each kind was there, and what was nearly sound was not all refused.
    for (const kind of 'http2-frames envelopes messages json-bodies rest-requests tokens images'.split(
      ' ',
    )) {
      expect(output).toMatch(new RegExp(`\\d  ${kind}: `));
    }
    expect(output).toMatch(/images: 0/);
    expect(output).toMatch(/json-bodies: http 200/);
    expect(code, output).toBe(0);
  },
);
