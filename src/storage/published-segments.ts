import type { Database } from '../database/database.ts';
import { readsFor } from '../database/reads-for-projects.ts';
import type { BlobId, SegmentId } from '../records/ids.ts';
import type { SegmentPlace } from './blob-reader.ts';

interface SegmentRow {
  readonly id: SegmentId;
  readonly start_offset: string;
  readonly length: string;
}

const ofBlob = `
  select id, start_offset, length from blob_segments
   where blob_id = $1 and length > 0`;

/**
 * The segments of a blob that have bytes, in order: what a BlobReader takes. As PostgreSQL shows them to a project: none
 * where it sees neither the image nor the task of the blob.
 *
 * @throws the driver's errors.
 */
export async function segmentsForProject(
  database: Database,
  projectId: string,
  blobId: BlobId,
): Promise<SegmentPlace[]> {
  const { rows } = await database.runForProjects<SegmentRow>({
    name: 'segments for a project',
    text: `${ofBlob} and ${readsFor('$2')} order by start_offset`,
    values: [blobId, projectId],
  });
  return placesOf(rows);
}

/** The same for the service itself. */
export async function readPublishedSegments(
  database: Database,
  blobId: BlobId,
): Promise<SegmentPlace[]> {
  const { rows } = await database.run<SegmentRow>({
    name: 'read-segments',
    text: `${ofBlob} order by start_offset`,
    values: [blobId],
  });
  return placesOf(rows);
}

function placesOf(rows: readonly SegmentRow[]): SegmentPlace[] {
  return rows.map((row) => ({
    id: row.id,
    startOffset: Number(row.start_offset),
    length: Number(row.length),
  }));
}
