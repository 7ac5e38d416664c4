/**
 * `npm run build`. With `--if-possible`, as at the end of `npm ci`, what cannot be made is no failure: the service runs from
 * its sources then, and only starts more slowly, and where the documentation or the console
 * would be it says how to build it.
 */
const isNeeded = !process.argv.includes('--if-possible');

/** What is built, each by development dependencies and machine code that not every system has. */
const builds: Readonly<Record<string, () => Promise<void>>> = {
  'The service was not bundled and runs from its sources': async () =>
    (await import('./bundle.ts')).bundle(),
  'The client library was not built': async () => (await import('./client.ts')).buildClient(),
  'The command line was not built and runs from its sources': async () =>
    (await import('./command-line.ts')).buildCommandLine(),
  'The console was not built': async () => (await import('./console.ts')).buildConsole(),
  'The documentation was not built': async () => (await import('./docs.ts')).buildDocs(),
};

for (const [consequence, build] of Object.entries(builds)) {
  try {
    await build();
  } catch (error) {
    if (isNeeded) {
      throw error;
    }
    console.warn(`${consequence}: ${String(error)}`);
  }
}
