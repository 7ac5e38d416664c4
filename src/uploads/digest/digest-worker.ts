import { createHash, type Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import { bytesCameIn, collectYoungGarbageOften } from '../../runtime/young-garbage.ts';
import type { DigestAnswer, DigestRequest } from './digest-messages.ts';

collectYoungGarbageOften();

/** The hashes of one digest. */
interface Hashes {
  readonly sha256: Hash;
  readonly sha512: Hash | undefined;
}

const open = new Map<number, Hashes>();

parentPort?.on('message', (request: DigestRequest) => {
  const { digest } = request;
  switch (request.kind) {
    case 'open':
      open.set(digest, {
        sha256: createHash('sha256'),
        sha512: request.sha512 ? createHash('sha512') : undefined,
      });
      break;
    case 'update': {
      const data = new Uint8Array(request.buffer, request.start, request.length);
      const hashes = open.get(digest);
      hashes?.sha256.update(data);
      hashes?.sha512?.update(data);
      if (request.buffer instanceof ArrayBuffer) {
        bytesCameIn(request.length);
      }
      answer({ kind: 'updated', digest, length: request.length });
      break;
    }
    case 'result': {
      const hashes = open.get(digest);
      if (hashes) {
        // Of copies, so that the digest can go on if the bytes do.
        const [sha256, sha512] = [hashes.sha256, hashes.sha512].map((hash) =>
          hash?.copy().digest('hex'),
        );
        answer({ kind: 'result', digest, digests: { sha256: sha256 ?? '', sha512 } });
      }
      break;
    }
    case 'close':
      open.delete(digest);
  }
});

function answer(message: DigestAnswer): void {
  parentPort?.postMessage(message);
}
