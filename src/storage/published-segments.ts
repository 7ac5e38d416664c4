import type { Database } from '../database/database.ts';
import type { BlobId, SegmentId } from '../records/ids.ts';
import type { SegmentPlace } from './blob-reader.ts';

/** The segments of a blob that have bytes, in order: what a BlobReader takes. */
export async function readPublishedSegments(
  database: Database,
  blobId: BlobId,
): Promise<SegmentPlace[]> {
  const { rows } = await database.run<{
    id: SegmentId;
    start_offset: string;
    length: string;
  }>({
    name: 'read-segments',
    text: `
      select id, start_offset, length from blob_segments
      where blob_id = $1 and length > 0 order by start_offset`,
    values: [blobId],
  });
  return rows.map((row) => ({
    id: row.id,
    startOffset: Number(row.start_offset),
    length: Number(row.length),
  }));
}
