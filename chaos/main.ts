import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { ConnectError } from '@connectrpc/connect';
import { bundleIfStale } from '../build/bundle.ts';
import { runChaos } from './chaos.ts';

/** Exit codes: 0 all promises were kept, 1 one was broken, 2 the arguments are wrong. */
const usage = `npm run chaos -- [--rounds 100] [--seed text] [--clients 4] [--processes 1] [--image-bytes 4194304] [--from 1]

Starts the real service, uploads real images, and kills it and its PostgreSQL at random moments.
With one process the PostgreSQL is the embedded one; with more they share a PostgreSQL and a folder.`;

// connect-node rejects a promise that nobody holds when a connection is cut after an early answer.
process.on('unhandledRejection', (error) => {
  if (!(error instanceof ConnectError)) {
    throw error;
  }
});

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    interrupted.abort();
    setTimeout(() => process.exit(1), 5000).unref();
  });
}

const { values } = parseOrExit();
await bundleIfStale();
const verdict = await runChaos({
  rounds: wholeNumber('rounds', 1),
  seed: values.seed,
  clients: wholeNumber('clients', 1),
  processes: wholeNumber('processes', 1),
  imageBytes: wholeNumber('image-bytes', 0),
  from: wholeNumber('from', 0),
  print: (line) => process.stdout.write(`${line}\n`),
  signal: interrupted.signal,
});
process.exit(verdict.violations.length === 0 ? 0 : 1);

function parseOrExit() {
  try {
    return parseArgs({
      options: {
        rounds: { type: 'string', default: '100' },
        seed: { type: 'string', default: randomBytes(4).toString('hex') },
        clients: { type: 'string', default: '4' },
        processes: { type: 'string', default: '1' },
        'image-bytes': { type: 'string', default: String(4 * 1024 * 1024) },
        from: { type: 'string', default: '1' },
      },
    });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

function wholeNumber(
  name: 'rounds' | 'clients' | 'processes' | 'image-bytes' | 'from',
  least: number,
): number {
  const value = Number(values[name]);
  return Number.isSafeInteger(value) && value >= least
    ? value
    : refuse(`--${name} must be a whole number from ${least} on`);
}

function refuse(problem: string): never {
  process.stderr.write(`${problem}\n\n${usage}\n`);
  process.exit(2);
}
