import { expect, test } from 'vitest';
import { playScript } from '../support/played-script.ts';

const rounds = 5;

test.for([
  ['the embedded PostgreSQL', ['--processes', '1', '--seed', 'suite-1']],
  ['two processes on one PostgreSQL', ['--processes', '2', '--seed', 'suite-2']],
] as const)(
  `${rounds} rounds of uploads survive kills of everything, with %s`,
  { timeout: 300_000 },
  async ([, args]) => {
    const { code, output } = await playScript('chaos/main.ts', [
      '--rounds',
      String(rounds),
      ...args,
    ]);
    expect(output).toContain(`${rounds} rounds with`);
    expect(output).not.toContain('VIOLATION');
    expect(code, output).toBe(0);
  },
);
