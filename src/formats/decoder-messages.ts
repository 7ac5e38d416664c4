import type { MessagePort } from 'node:worker_threads';
import type { CompressionProblem } from './compression-error.ts';

/** What is to be decoded, as `decompress` has it. */
export interface DecoderTask {
  readonly compression: 'xz' | 'bzip2';
  readonly extent: 'whole' | 'beginning';
}

/** What a thread that decodes is given. */
export interface DecoderData extends DecoderTask {
  /** On which it asks and is answered. */
  readonly port: MessagePort;
  /** One number, set to 1 and notified when an answer was sent. */
  readonly answered: Int32Array<SharedArrayBuffer>;
}

/** What the thread says. After each it waits for an answer; after the last two, for its end. */
export type DecoderMessage =
  | { readonly kind: 'wants input' }
  | { readonly kind: 'output'; readonly bytes: Uint8Array }
  | { readonly kind: 'end' }
  | { readonly kind: 'problem'; readonly problem: CompressionProblem; readonly detail: string };

/** The answer: input where it was wanted, or none where it has ended; none to output that was taken. */
export interface DecoderAnswer {
  readonly input: Uint8Array | undefined;
}
