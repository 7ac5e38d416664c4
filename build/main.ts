/**
 * `npm run build`. With `--if-possible`, as at the end of `npm ci`, a bundle that cannot be made is no failure: the service
 * runs from its sources then, and only starts more slowly.
 */
const isNeeded = !process.argv.includes('--if-possible');

try {
  // A development dependency, and machine code that not every system has.
  const { bundle } = await import('./bundle.ts');
  await bundle();
} catch (error) {
  if (isNeeded) {
    throw error;
  }
  console.warn(`The service was not bundled and runs from its sources: ${String(error)}`);
}
