import type { Logger } from 'pino';
import type { Database } from '../../database/database.ts';
import type { ProcessId } from '../../records/ids.ts';
import type { BlobStore } from '../../storage/blob-store.ts';
import type { TaskLedger } from '../../tasks/ledger/task-ledger.ts';
import type { ParkedDigests } from '../digest/blob-digest.ts';
import type { TaskChanges } from '../lease/task-changes.ts';
import type { UploadAdmission } from '../lease/upload-admission.ts';
import type { ContentLimits } from '../unpacking/content-writer.ts';
import type { UnpackingLanes } from '../unpacking/unpacking-lanes.ts';

/** Limits of uploads; sizes in bytes, times in ms. */
export interface UploadLimits extends UploadAdmission, ContentLimits {
  readonly maxChunkBytes: number;
  readonly streamIdleTimeoutMs: number;
  /** bytes/s; 0 allows any. */
  readonly minUploadRate: number;
  readonly commitBytes: number;
  readonly commitIntervalMs: number;
}

/** What an upload works with. */
export interface UploadParts {
  readonly database: Database;
  readonly ledger: TaskLedger;
  readonly store: BlobStore;
  readonly digests: ParkedDigests;
  readonly changes: TaskChanges;
  readonly processId: ProcessId;
  readonly limits: UploadLimits;
  readonly logger: Logger;
  /** Of this process. */
  readonly unpackingLanes: UnpackingLanes;
  /** Called after a commit that left bytes to be removed. */
  readonly onBlobsReleased: () => void;
}
