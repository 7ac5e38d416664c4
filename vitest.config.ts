import { defineConfig } from 'vitest/config';

// What Node has compiled is kept for the workers, and for the many services that tests start.
process.env['NODE_COMPILE_CACHE'] ??= `${import.meta.dirname}/node_modules/.cache/compiled`;

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: [
      'test/support/bundled-service.ts',
      'test/support/database-cluster.ts',
      'test/support/shared-folder.ts',
    ],
    // Real servers, real files and real databases share two cores with each other.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    expect: { poll: { timeout: 60_000 } },
    pool: 'forks',
    maxWorkers: 4,
    // A worker reads what a file imports once, not for each of its 40 files.
    isolate: false,
  },
});
