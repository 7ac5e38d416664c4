import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { faultRemedy } from '../../../src/cli/words/remedies.ts';
import { repository } from '../../support/service-process.ts';

test('for every reason of a fault that the contract tells, there is something to do', async () => {
  const text = await readFile(join(repository, 'proto/darkroom/v1/fault.proto'), 'utf8');
  const reasons = [...text.matchAll(/^\/\/ {3}([A-Z][A-Z_]+) {2,}[A-Z_]+ {2,}/gm)].map(
    ([, reason]) => reason!,
  );
  expect(reasons.length).toBeGreaterThan(30);
  expect(reasons.filter((reason) => faultRemedy(reason) === undefined)).toEqual([]);
  expect(faultRemedy('OF_A_PRODUCER')).toBeUndefined();
  expect(faultRemedy('constructor')).toBeUndefined();
});
