import { expect } from 'vitest';
import { runProgram } from './programs.ts';

/** Has protoc make Python's classes for the contract. */
export async function generateStubs(folder: string): Promise<void> {
  const protos = ['phase', 'fault', 'image', 'task', 'image_service', 'task_service'];
  const { code, errors } = await runProgram('protoc', [
    '-Iproto',
    '-Ithird_party',
    `--python_out=${folder}`,
    ...protos.map((name) => `darkroom/v1/${name}.proto`),
    ...['code', 'status', 'error_details'].map((name) => `google/rpc/${name}.proto`),
  ]);
  expect(code, errors).toBe(0);
}
