import { expect, test } from 'vitest';
import { playScript } from '../support/played-script.ts';

const cases = 2000;

test(
  `${cases} malformed frames, envelopes, messages, requests, tokens and images are told what is wrong with them`,
  { timeout: 300_000 },
  async () => {
    const { code, output } = await playScript('fuzz/main.ts', [
      '--cases',
      String(cases),
      '--seed',
      'suite',
    ]);
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
