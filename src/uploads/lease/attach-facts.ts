import type { RawRow } from '../../database/entity-rows.ts';
import type { BlobSegment } from '../../records/blob.ts';
import type { Task } from '../../records/task.ts';
import type { LedgerFacts } from '../../tasks/ledger/ledger-facts.ts';
import type { TransferLimits, WriterCount } from './upload-admission.ts';
import { hasSignOfLife } from './writer-process.ts';

/** A segment as JSON has it. */
type SegmentRow = Omit<BlobSegment, 'createTime'> & { readonly createTime: string };

// By the index blob_segments_blob_id_writer_epoch_key. Its segments change with the task's row only.
const segments = `
  (select json_agg(json_build_object(
            'id', id, 'blobId', blob_id, 'startOffset', start_offset, 'length', length, 'storedBytes', stored_bytes,
            'writerEpoch', writer_epoch, 'createTime', create_time) order by start_offset)
     from blob_segments where blob_id = task.blob_id) as segments`;

// Once a statement, by the index tasks_writing; of all projects, also behind the second wall. Writers of processes that died hold nothing any more, though
// nobody may have detached them yet.
const writers = `
  (select json_object_agg(project_id, writers)
     from (select writing.project_id, count(*) as writers
             from writing_tasks as writing join processes on processes.id = writing.writer_process_id
            where writing.type <> 'IMPORT' and ${hasSignOfLife}
            group by writing.project_id) as counted) as writers`;

// What was set for the project; else the settings count.
const limits = `
  (select json_build_object('maxUploads', max_uploads, 'maxImports', max_imports)
     from project_quotas where project_id = task.project_id) as limits`;

const hasLiveWriter = `
  exists (select from processes
           where processes.id = task.writer_process_id and ${hasSignOfLife}) as has_live_writer`;

// By the index tasks_image_id_attempt_key.
const hasBrokenOff = `
  exists (select from tasks as past
           where past.image_id = task.image_id and past.type <> 'IMPORT' and past.start_time is not null
             and past.finish_size is null and past.staged_size is null) as has_broken_off`;

/** The segments of a task's blob, in order. */
export const segmentFacts: LedgerFacts<BlobSegment[]> = {
  name: 'segments',
  columns: segments,
  of: segmentsOf,
};

/** Whether the process of a task's writer is known to live. */
export const writerFacts: LedgerFacts<{ readonly hasLiveWriter: boolean }> = {
  name: 'writer',
  columns: hasLiveWriter,
  of: (row) => ({ hasLiveWriter: row['has_live_writer'] === true }),
};

/** What attaching a writer is decided by. */
export interface AttachFacts {
  readonly hasLiveWriter: boolean;
  /** Those of the blob, in order. */
  readonly segments: BlobSegment[];
  /** How many streams write, by their projects. */
  readonly writers: Readonly<Record<string, number>>;
  /** What was set for the task's project in place of the settings. */
  readonly limits: TransferLimits;
  /** Whether a stream of the image ended without its end; false where it was not asked for. */
  readonly hasBrokenOff: boolean;
}

export const attachFacts: LedgerFacts<AttachFacts> = {
  name: 'attach',
  columns: [segments, writers, limits, hasLiveWriter].join(', '),
  of: (row) => ({
    ...writerFacts.of(row),
    segments: segmentsOf(row),
    writers: (row['writers'] ?? {}) as Readonly<Record<string, number>>,
    limits: row['limits'] ?? {},
    hasBrokenOff: row['has_broken_off'] === true,
  }),
};

/** The same, of an image whose earlier streams matter. Those of ended tasks do not change, and the task's own is its row's. */
export const attachFactsWithPast: LedgerFacts<AttachFacts> = {
  name: 'attach with past',
  columns: [attachFacts.columns, hasBrokenOff].join(', '),
  of: attachFacts.of,
};

/** The streams that write besides a task's own. */
export function writersBesides(task: Task, { hasLiveWriter, writers }: AttachFacts): WriterCount {
  const itself = hasLiveWriter && task.type !== 'IMPORT' ? 1 : 0;
  return {
    all: Object.values(writers).reduce((sum, count) => sum + count, -itself),
    own: (writers[task.projectId] ?? 0) - itself,
  };
}

function segmentsOf(row: RawRow): BlobSegment[] {
  return ((row['segments'] ?? []) as SegmentRow[]).map(segmentOf);
}

/** One of the change's own, since another one may have been read from the same row. */
function segmentOf(segment: SegmentRow): BlobSegment {
  return { ...segment, createTime: new Date(segment.createTime) };
}
