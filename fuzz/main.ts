import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { ConnectError } from '@connectrpc/connect';
import { bundleIfStale } from '../build/bundle.ts';
import { runFuzz } from './fuzz.ts';

/** Exit codes: 0 nothing was found, 1 something was, 2 the arguments are wrong. */
const usage = `npm run fuzz -- [--cases 100000] [--seed text] [--only kind] [--from 0]

Sends the real service malformed frames, envelopes, messages, JSON, requests, tokens and images, and holds that it answers each
with what is wrong, does not grow, and serves others meanwhile. A case that is found has a number: --seed that --from that
--cases 1 sends it again.`;

// connect-node rejects a promise that nobody holds when a connection is cut after an early answer.
process.on('unhandledRejection', (error) => {
  if (!(error instanceof ConnectError)) {
    throw error;
  }
});

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => interrupted.abort());
}

const { values } = parseOrExit();
await bundleIfStale();
const began = performance.now();
const cases = wholeNumber('cases', 1);
const { violations } = await runFuzz({
  cases,
  seed: values.seed,
  from: wholeNumber('from', 0),
  only: values.only,
  print: (line) => process.stdout.write(`${line}\n`),
  signal: interrupted.signal,
});
const seconds = Math.round((performance.now() - began) / 1000);
process.stdout.write(
  `${cases} cases with seed ${values.seed} in ${seconds} s: ${violations.length} violations\n`,
);
process.exit(violations.length === 0 ? 0 : 1);

function parseOrExit() {
  try {
    return parseArgs({
      options: {
        cases: { type: 'string', default: '100000' },
        seed: { type: 'string', default: randomBytes(4).toString('hex') },
        only: { type: 'string', default: '' },
        from: { type: 'string', default: '0' },
      },
    });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

function wholeNumber(name: 'cases' | 'from', least: number): number {
  const value = Number(values[name]);
  return Number.isSafeInteger(value) && value >= least
    ? value
    : refuse(`--${name} must be a whole number from ${least} on`);
}

function refuse(problem: string): never {
  process.stderr.write(`${problem}\n\n${usage}\n`);
  process.exit(2);
}
