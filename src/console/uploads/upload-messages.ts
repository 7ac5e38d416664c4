import type { UploadProgress } from '../../client/browser.ts';
import type { Failure } from '../service/failure.ts';

/** How far an upload is, as it is told from thread to thread. */
export type ToldProgress = Omit<UploadProgress, 'waiting'> & {
  readonly waiting?: { readonly failure: Failure; readonly untilMs: number } | undefined;
};

/** What a worker is told. */
export type ToUploader =
  | {
      readonly kind: 'begin';
      readonly origin: string;
      readonly token: string | undefined;
      readonly taskId: string;
      readonly file: File;
    }
  | { readonly kind: 'retryNow' };

/** What a worker tells. */
export type FromUploader =
  | { readonly kind: 'progress'; readonly progress: ToldProgress }
  | { readonly kind: 'done'; readonly sizeBytes: number }
  | { readonly kind: 'failed'; readonly failure: Failure };
