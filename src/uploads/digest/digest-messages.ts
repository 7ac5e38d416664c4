import type { Digests } from './digest-stream.ts';

/** What a thread is asked. */
export type DigestRequest =
  | { readonly kind: 'open'; readonly digest: number; readonly sha512: boolean }
  | {
      readonly kind: 'update';
      readonly digest: number;
      readonly buffer: ArrayBufferLike;
      readonly start: number;
      readonly length: number;
    }
  | { readonly kind: 'result' | 'close'; readonly digest: number };

/** What a thread answers, in the order of the requests of one digest. */
export type DigestAnswer =
  | { readonly kind: 'updated'; readonly digest: number; readonly length: number }
  | { readonly kind: 'result'; readonly digest: number; readonly digests: Digests };
