import type { ConnectionState, SurvivalOptions } from '../calls/client-calls.ts';

/** How far a download is. Sizes are in bytes. */
export interface DownloadProgress {
  readonly step: 'receiving' | 'waiting' | 'checking' | 'done';
  readonly sizeBytes: number;
  /** How much of it there is, holes and what an earlier download left included. */
  readonly doneBytes: number;
  /** How much came now. */
  readonly receivedBytes: number;
  /** How many zeros did not travel. */
  readonly holeBytes: number;
  /** How fast `doneBytes` grows, since this download began. */
  readonly bytesPerSecond: number;
  /** While the step is `waiting`: for what, and until when. */
  readonly waiting: Extract<ConnectionState, { state: 'waiting' }> | undefined;
}

/** How a download is to be. */
export interface DownloadOptions extends SurvivalOptions {
  /** How many ranges are read at the same time, to a path; 4 if not set. */
  readonly parallel?: number;
  /** Told ten times a second at most. */
  readonly onProgress?: (progress: DownloadProgress) => void;
}

/** What became of a download. */
export interface DownloadResult {
  readonly sizeBytes: number;
  /** Of the whole, as it was computed here from what came. */
  readonly sha256: string;
  readonly receivedBytes: number;
  readonly holeBytes: number;
}

/** As much of Node's Writable as is needed. */
export interface WritableLike {
  write(chunk: Uint8Array, done: (error?: Error | null) => void): boolean;
  end(done: () => void): unknown;
  destroy(error?: Error): unknown;
  once(event: 'error', listener: (error: Error) => void): unknown;
}

/** Where an image goes: a path, on platforms that have files; or a stream of the web or of Node, which is ended. */
export type DownloadTarget = string | WritableStream<Uint8Array> | WritableLike;
