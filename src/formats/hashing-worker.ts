import { createHash, type Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import type { HashAnswer, HashRequest } from './hashing-thread.ts';

const hashes = new Map<number, Hash>();

parentPort?.on('message', (request: HashRequest) => {
  const { id } = request;
  if (request.kind === 'close') {
    hashes.delete(id);
    return;
  }
  const hash = hashes.get(id) ?? createHash(request.algorithm);
  hashes.set(id, hash);
  let digest: string | undefined;
  if (request.kind === 'update') {
    hash.update(request.bytes);
  } else {
    digest = hash.digest('hex');
    hashes.delete(id);
  }
  parentPort?.postMessage({ id, digest } satisfies HashAnswer);
});
