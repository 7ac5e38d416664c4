#!/usr/bin/env node
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

// An older Node than the one that npm brings along cannot read TypeScript.
if (process.features.typescript) {
  await import('./darkroom.ts');
} else {
  const node = createRequire(import.meta.url).resolve('node/bin/node');
  const self = fileURLToPath(import.meta.url);
  const { status, error } = spawnSync(node, [self, ...process.argv.slice(2)], { stdio: 'inherit' });
  if (error) {
    process.stderr.write(`${node} cannot be started: ${error.message}. Run npm ci.\n`);
  }
  process.exitCode = status ?? 1;
}
