import { createHash, type Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { bytesCameIn, collectYoungGarbageOften } from '../runtime/young-garbage.ts';

/** What a thread is asked. */
export type DigestRequest =
  | {
      readonly kind: 'update';
      readonly digest: number;
      readonly buffer: ArrayBuffer;
      readonly start: number;
      readonly length: number;
    }
  | { readonly kind: 'result' | 'close'; readonly digest: number };

/** What a thread answers, in the order of the requests of one digest. */
export type DigestAnswer =
  | { readonly kind: 'updated'; readonly digest: number; readonly length: number }
  | { readonly kind: 'result'; readonly digest: number; readonly sha256: string };

collectYoungGarbageOften();

const hashes = new Map<number, Hash>();

parentPort?.on('message', (request: DigestRequest) => {
  const { digest } = request;
  switch (request.kind) {
    case 'update': {
      let hash = hashes.get(digest);
      if (!hash) {
        hash = createHash('sha256');
        hashes.set(digest, hash);
      }
      hash.update(new Uint8Array(request.buffer, request.start, request.length));
      bytesCameIn(request.length);
      answer({ kind: 'updated', digest, length: request.length });
      break;
    }
    case 'result': {
      const hash = hashes.get(digest) ?? createHash('sha256');
      // A copy, so that the digest can go on if the bytes do.
      answer({ kind: 'result', digest, sha256: hash.copy().digest('hex') });
      break;
    }
    case 'close':
      hashes.delete(digest);
  }
});

function answer(message: DigestAnswer): void {
  parentPort?.postMessage(message);
}
