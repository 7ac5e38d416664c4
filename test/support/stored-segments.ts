import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';

/** What the database and the blob store of a service hold, by segment. */
export interface StoredSegments {
  /** Size in bytes of each segment's file. */
  readonly files: ReadonlyMap<string, number>;
  /** What each segment's row says. */
  readonly rows: ReadonlyMap<string, { readonly length: number; readonly state: string }>;
}

/** Reads both sides, to be compared. */
export async function readStoredSegments(place: {
  readonly dataDir: string;
  readonly databaseUrl: string;
}): Promise<StoredSegments> {
  const folder = join(place.dataDir, 'blobs');
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = new Map<string, number>();
  for (const entry of names.filter((name) => name.isFile() && name.name !== 'store-id')) {
    files.set(entry.name, (await stat(join(entry.parentPath, entry.name))).size);
  }
  const client = new pg.Client({ connectionString: place.databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ id: string; length: string; state: string }>(
      `select segment.id, segment.length, blobs.state
       from blob_segments as segment join blobs on blobs.id = segment.blob_id`,
    );
    return {
      files,
      rows: new Map(rows.map(({ id, length, state }) => [id, { length: Number(length), state }])),
    };
  } finally {
    await client.end();
  }
}

/** What does not fit between the two sides, in words; empty if all is well. */
export function disagreements({ files, rows }: StoredSegments): string[] {
  const found: string[] = [];
  for (const id of files.keys()) {
    if (!rows.has(id)) {
      found.push(`the file ${id} has no row`);
    }
  }
  for (const [id, { length, state }] of rows) {
    const size = files.get(id);
    if (size === undefined) {
      found.push(`the segment ${id} has ${length} bytes and no file`);
    } else if (size < length || (state === 'PUBLISHED' && size !== length)) {
      found.push(`the ${state} segment ${id} has ${length} bytes, and its file ${size}`);
    }
  }
  return found;
}
