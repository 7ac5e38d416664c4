import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { Code } from '../../gen/google/rpc/code_pb.ts';
import { failureReasons } from '../../src/domain/failure-reason.ts';
import { repository } from '../support/service-process.ts';

/** Reasons whose code is another one in the place that is named. */
const otherwise = [
  // Of calls; the fault's code is the reason's own.
  'FAILED_PRECONDITION/TASK_EXPIRED',
  // Of a status that may pass.
  'UNAVAILABLE/SOURCE_HTTP_STATUS',
];

/** What the contract says of reasons, as `CODE/REASON`. */
let described: Set<string>;

beforeAll(async () => {
  const folder = join(repository, 'proto/darkroom/v1');
  const files = await readdir(folder);
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
  const contract = texts.join('\n');
  described = new Set([
    ...[...contract.matchAll(/\b[A-Z_]+\/[A-Z][A-Z_]+\b/g)].map(([pair]) => pair),
    // The table of faults.
    ...[...contract.matchAll(/^\/\/ {3}([A-Z_]+) +([A-Z_]+) {2,}\S/gm)].map(
      ([, reason, code]) => `${code}/${reason}`,
    ),
  ]);
});

const known = Object.entries(failureReasons).map(([reason, { code }]) => {
  const [name] = Object.entries(Code).find(([, value]) => value === code)!;
  return `${name}/${reason}`;
});

test('every reason is described in the contract, with its code', () => {
  expect(known.filter((pair) => !described.has(pair))).toEqual([]);
});

test('the contract describes no reason that there is not, and none with another code', () => {
  const sound = new Set([...known, ...otherwise]);
  expect([...described].filter((pair) => !sound.has(pair))).toEqual([]);
});
