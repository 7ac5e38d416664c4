/** Holes are kept and told in pages of 4 KiB, the block size of common file systems. */
export const pageBytes = 4096;

/** A run of bytes: data, or zeros. */
export interface Run {
  readonly kind: 'data' | 'zeros';
  /** Bytes from the buffer's start. */
  readonly start: number;
  /** Bytes from the buffer's start, exclusive. */
  readonly end: number;
}

const zeroPage = Buffer.alloc(pageBytes);

/**
 * Splits a buffer into runs of data and runs of zeros, in order without gaps. Runs of zeros are whole
 * pages, aligned to where the buffer lies in its file.
 *
 * @param position where the buffer begins in its file, in bytes.
 */
export function splitZeroRuns(data: Uint8Array, position: number): Run[] {
  const runs: Run[] = [];
  const firstPage = (pageBytes - (position % pageBytes)) % pageBytes;
  let runStart = 0;
  let kind: Run['kind'] = 'data';
  for (let page = firstPage; page + pageBytes <= data.byteLength; page += pageBytes) {
    const found = isZeroPage(data, page) ? 'zeros' : 'data';
    if (found !== kind) {
      if (page > runStart) {
        runs.push({ kind, start: runStart, end: page });
      }
      runStart = page;
      kind = found;
    }
  }
  if (kind === 'zeros') {
    const pages = Math.floor((data.byteLength - runStart) / pageBytes);
    const end = runStart + pages * pageBytes;
    runs.push({ kind, start: runStart, end });
    runStart = end;
  }
  if (data.byteLength > runStart) {
    runs.push({ kind: 'data', start: runStart, end: data.byteLength });
  }
  return runs;
}

/**
 * Joins runs of fewer than `leastZeros` zeros to the data around them, but not the first and the last
 * run: those may go on in the neighbouring buffer.
 *
 * @param runs of one buffer, in order without gaps.
 */
export function joinShortZeroRuns(runs: readonly Run[], leastZeros: number): Run[] {
  const joined: Run[] = [];
  for (const [index, run] of runs.entries()) {
    const isWorthwhile =
      run.end - run.start >= leastZeros || index === 0 || index === runs.length - 1;
    const kind = run.kind === 'zeros' && isWorthwhile ? 'zeros' : 'data';
    const last = joined.at(-1);
    if (last?.kind === 'data' && kind === 'data') {
      joined[joined.length - 1] = { kind, start: last.start, end: run.end };
    } else {
      joined.push({ kind, start: run.start, end: run.end });
    }
  }
  return joined;
}

function isZeroPage(data: Uint8Array, start: number): boolean {
  // A native comparison costs 100 ns a call; most pages of data show it in their first or last bytes.
  if (data[start] !== 0 || data[start + 1] !== 0 || data[start + pageBytes - 1] !== 0) {
    return false;
  }
  return zeroPage.compare(data, start, start + pageBytes) === 0;
}
