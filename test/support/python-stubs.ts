import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { runProgram } from './programs.ts';
import { repository } from './service-process.ts';

/** Has protoc make Python's classes for the contract. */
export async function generateStubs(folder: string): Promise<void> {
  const protos = await readdir(join(repository, 'proto/darkroom/v1'));
  const { code, errors } = await runProgram('protoc', [
    '-Iproto',
    '-Ithird_party',
    `--python_out=${folder}`,
    ...protos.map((name) => `darkroom/v1/${name}`),
    ...['code', 'status', 'error_details'].map((name) => `google/rpc/${name}.proto`),
  ]);
  expect(code, errors).toBe(0);
}
