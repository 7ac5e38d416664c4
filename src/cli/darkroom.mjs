#!/usr/bin/env node
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import * as nodeModule from 'node:module';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';

// The command `darkroom`, for any Node from 20 on. An installed package has it built; a checkout has its sources too, which go
// first as soon as any of them was changed since it was built.
const sources = new URL('./darkroom.ts', import.meta.url);
const built = new URL('../../dist/cli/', import.meta.url);

/** What runs beside the service, or is it, needs the Node that it is written for. */
const ofTheService = ['serve', 'doctor', 'token', 'migrate-from-glance'];
const isOld = Number(process.versions.node.split('.')[0]) < 24;

/** Whether all that went into the built command is as it was then. */
function isCurrent() {
  try {
    const root = fileURLToPath(new URL('../../', import.meta.url));
    const inputs = JSON.parse(readFileSync(new URL('inputs.json', built), 'utf8'));
    return inputs.every(([path, size, mtimeMs]) => {
      const file = statSync(root + path);
      return file.size === size && file.mtimeMs === mtimeMs;
    });
  } catch {
    return false;
  }
}

const isInstalled = !existsSync(sources);
const isBuilt = isInstalled || isCurrent();
if (isBuilt && !(isOld && ofTheService.includes(process.argv[2]))) {
  if (!isInstalled) {
    // Beside the code, as of the service; an installed package leaves the folders of others alone.
    const cache = fileURLToPath(new URL('../../node_modules/.cache/compiled', import.meta.url));
    nodeModule.enableCompileCache?.(cache);
  }
  await import(new URL('darkroom.js', built).href);
} else if (!isOld && process.features.typescript) {
  await import(sources.href);
} else {
  runByOwnNode();
}

/** Has the Node that npm brings along do it. */
function runByOwnNode() {
  const node = nodeModule.createRequire(import.meta.url).resolve('node/bin/node');
  const self = fileURLToPath(import.meta.url);
  const child = spawn(node, [self, ...process.argv.slice(2)], { stdio: 'inherit' });
  // Ctrl-C reaches both by the terminal; what is sent to this process alone is handed on.
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'));
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('error', (error) => {
    process.stderr.write(`darkroom: ${node} cannot be started: ${error.message}. Run npm ci.\n`);
    process.exitCode = 1;
  });
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
  });
}
