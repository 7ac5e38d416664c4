import { quoted } from '../domain/quoted.ts';
import type { ByteSource } from './byte-source.ts';
import { HashingThread } from './hashing-thread.ts';
import {
  mismatch,
  refusedAs,
  type DeclaredFormat,
  type Refused,
  type StatedDigest,
} from './inspection.ts';

const pieceBytes = 1024 * 1024;

/** The thread of all checks, however many there are at once; it lives as long as there is one. */
let shared: { readonly thread: HashingThread; checks: number } | undefined;

/**
 * Reads parts of an image, piece by piece, and compares them with the digests that the image states of them.
 *
 * @param onRead is told how many more bytes were read.
 * @returns the refusal, if a part has another digest; undefined if none has.
 * @throws what `read` throws; if the thread that computes them died.
 */
export async function checkStatedDigests(
  declared: DeclaredFormat,
  digests: readonly StatedDigest[],
  read: ByteSource['read'],
  onRead: (bytes: number) => void,
): Promise<Refused | undefined> {
  if (shared === undefined || shared.thread.isDead) {
    shared = { thread: new HashingThread(), checks: 0 };
  }
  const mine = shared;
  mine.checks += 1;
  try {
    for (const stated of digests) {
      if ((await digestOf(mine.thread, stated, read, onRead)) !== stated.digest) {
        return refusedAs(declared, wrongDigest(stated));
      }
    }
    return undefined;
  } finally {
    mine.checks -= 1;
    if (mine.checks === 0) {
      shared = shared === mine ? undefined : shared;
      await mine.thread.terminate();
    }
  }
}

async function digestOf(
  thread: HashingThread,
  { algorithm, offset, size }: StatedDigest,
  read: ByteSource['read'],
  onRead: (bytes: number) => void,
): Promise<string> {
  const hash = thread.open(algorithm);
  try {
    for (let position = 0; position < size;) {
      const bytes = await read(offset + position, Math.min(pieceBytes, size - position));
      await hash.update(bytes);
      position += bytes.byteLength;
      onRead(bytes.byteLength);
    }
    return await hash.digest();
  } finally {
    hash.close();
  }
}

function wrongDigest({ name, algorithm, digest }: StatedDigest) {
  return mismatch(
    'wrong digest',
    `its file ${quoted(name)} is not the one that its manifest was made of, of which the ${algorithm} is ${digest}. Upload the file again, or export it again`,
  );
}
