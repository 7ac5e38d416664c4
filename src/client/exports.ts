/** What the client has on every platform. */
export * from './contract.ts';
export {
  DarkroomError,
  type ClientReason,
  type DarkroomErrorFacts,
  type DarkroomReason,
  type ErrorOrigin,
  type FieldViolation,
} from './calls/client-error.ts';
export type { Credential, CredentialRequest } from './calls/credentials.ts';
export type { ClientOptions, DarkroomClient } from './darkroom-client.ts';
export { defaultRetryPolicy, type RetryPolicy } from './calls/retry-policy.ts';
export type { ConnectionState, SurvivalOptions } from './calls/client-calls.ts';
export type {
  BegunUpload,
  NewImage,
  SendingOptions,
  UploadOptions,
  UploadProgress,
  UploadResult,
  UploadStep,
} from './upload/upload-options.ts';
export type { SeekableSource, SourcePart, UploadSource } from './upload/upload-source.ts';
export { isTerminal, type TaskNews, type WatchOptions } from './watch/watch-task.ts';
export type { TasksNews } from './watch/watch-tasks.ts';
export type {
  DownloadOptions,
  DownloadProgress,
  DownloadResult,
  DownloadTarget,
  WritableLike,
} from './download/download-options.ts';
export type { ImageEnd, ImagePart, ReadOptions } from './download/read-image.ts';
export {
  ProducerFault,
  type ProducerProgress,
  type SnapshotInProgress,
  type SnapshotOptions,
  type SnapshotProducer,
} from './snapshot/run-snapshot.ts';
