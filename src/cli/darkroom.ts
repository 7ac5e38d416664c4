import { Interruption } from './command-context.ts';
import { exitCodes } from './exit-codes.ts';
import { screenOn } from './output/screen.ts';
import { runProgram } from './run-program.ts';

/** How long a command may take to end in order after it was interrupted, in ms. */
const graceMs = 3000;

const interruption = new AbortController();

for (const by of ['SIGINT', 'SIGTERM'] as const) {
  process.on(by, () => {
    const code = by === 'SIGINT' ? exitCodes.interrupted : exitCodes.terminated;
    if (interruption.signal.aborted) {
      process.exit(code);
    }
    interruption.abort(new Interruption(by));
    setTimeout(() => process.exit(code), graceMs).unref();
  });
}

// Whoever reads may have had enough, as `head` has.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? exitCodes.outputClosed : exitCodes.failed);
  });
}

process.exitCode = await runProgram(process.argv.slice(2), {
  environment: process.env,
  input: process.stdin,
  out: screenOn(process.stdout, process.env),
  notes: screenOn(process.stderr, process.env),
  signal: interruption.signal,
});
