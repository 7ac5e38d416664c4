import { signal } from '@preact/signals';
import type { Failure } from '../service/failure.ts';
import type { StoredUpload } from './stored-uploads.ts';
import type { ToldProgress } from './upload-messages.ts';

/** Where an upload of this browser stands. */
export type UploadStanding =
  | { readonly kind: 'queued' }
  | { readonly kind: 'running'; readonly progress: ToldProgress | undefined }
  | { readonly kind: 'paused' }
  /** Another tab has it. */
  | { readonly kind: 'elsewhere' }
  /** The reader has to choose the file again, or to allow that it is read; and what was wrong with the last one. */
  | { readonly kind: 'file-needed'; readonly wrong?: string | undefined }
  | { readonly kind: 'failed'; readonly failure: Failure }
  | { readonly kind: 'done' };

/** An upload that this browser has begun. */
export interface Upload {
  readonly stored: StoredUpload;
  readonly standing: UploadStanding;
}

/** All uploads of this browser that have not been put away, oldest first. */
export const uploads = signal<readonly Upload[]>([]);

/** How many of them are under way. */
export function uploadsUnderWay(): number {
  return uploads.value.filter(({ standing }) => ['running', 'queued'].includes(standing.kind))
    .length;
}

/** One of them, by its task. */
export function findUpload(taskId: string): Upload | undefined {
  return uploads.value.find(({ stored }) => stored.taskId === taskId);
}

/** Shows one more. */
export function addUpload(upload: Upload): void {
  uploads.value = [...uploads.value, upload];
}

/** Shows one no more. */
export function removeUpload(taskId: string): void {
  uploads.value = uploads.value.filter(({ stored }) => stored.taskId !== taskId);
}

/** Shows where one stands now. */
export function stand(taskId: string, standing: UploadStanding): void {
  uploads.value = uploads.value.map((upload) =>
    upload.stored.taskId === taskId ? { stored: upload.stored, standing } : upload,
  );
}
