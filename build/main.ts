/**
 * `npm run build`, or `npm run build -- service console` for some parts alone. With `--if-possible`, as at the end of `npm ci`,
 * what cannot be made is no failure: the service runs from its sources then, and only starts more slowly, and where the
 * documentation or the console would be it says how to build it.
 */
import { parseArgs } from 'node:util';

interface Part {
  readonly build: () => Promise<void>;
  readonly withoutIt: string;
}

/** What is built, each by development dependencies and machine code that not every system has. */
const parts: ReadonlyMap<string, Part> = new Map([
  [
    'service',
    {
      build: async () => (await import('./bundle.ts')).bundle(),
      withoutIt: 'The service was not bundled and runs from its sources',
    },
  ],
  [
    'client',
    {
      build: async () => (await import('./client.ts')).buildClient(),
      withoutIt: 'The client library was not built',
    },
  ],
  [
    'command-line',
    {
      build: async () => (await import('./command-line.ts')).buildCommandLine(),
      withoutIt: 'The command line was not built and runs from its sources',
    },
  ],
  [
    'console',
    {
      build: async () => (await import('./console.ts')).buildConsole(),
      withoutIt: 'The console was not built',
    },
  ],
  [
    'docs',
    {
      build: async () => (await import('./docs.ts')).buildDocs(),
      withoutIt: 'The documentation was not built',
    },
  ],
]);

const { values, positionals } = parseArgs({
  options: { 'if-possible': { type: 'boolean', default: false } },
  allowPositionals: true,
});
const wanted = positionals.length === 0 ? [...parts.keys()] : positionals;
for (const name of wanted) {
  const part = parts.get(name);
  if (part === undefined) {
    throw new Error(
      `There is no part ${name} to build: name some of ${[...parts.keys()].join(', ')}.`,
    );
  }
  try {
    await part.build();
  } catch (error) {
    if (!values['if-possible']) {
      throw error;
    }
    console.warn(`${part.withoutIt}: ${String(error)}`);
  }
}
