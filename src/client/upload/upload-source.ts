import { DarkroomError } from '../calls/client-error.ts';

/** A part of a source: bytes, or zeros that need not be read. Bytes that were given out must not be changed any more. */
export type SourcePart = Uint8Array | { readonly hole: number };

/** A source that can be read from any place, as often as need be. */
export interface SeekableSource {
  /** In bytes; where it is not known, the end is where the parts end. */
  readonly size?: number | undefined;
  /** The parts from a place on. Iterating ends early when the signal says so, or by the iterator's `return`. */
  open(offset: number, signal: AbortSignal): AsyncIterable<SourcePart>;
}

/**
 * Where the bytes of an image come from. A path, on platforms that have files; a Blob or File; a stream of the web or of
 * Node; an iterable of bytes or holes; or a SeekableSource. A stream can be read once only: what the service has not
 * acknowledged yet is kept in memory, within bounds.
 */
export type UploadSource =
  | string
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<SourcePart>
  | Iterable<SourcePart>
  | SeekableSource;

/** A source as uploads read it. */
export type OpenedSource =
  | ({
      readonly kind: 'seekable';
      close(): Promise<void>;
    } & SeekableSource)
  | {
      readonly kind: 'stream';
      readonly size?: number | undefined;
      readonly parts: AsyncIterable<SourcePart>;
      close(): Promise<void>;
    };

const nothingToClose = (): Promise<void> => Promise.resolve();

/**
 * @param openPath opens a path
 * @throws DarkroomError SOURCE_UNREADABLE, OPTION_INVALID
 */
export async function openSource(
  source: UploadSource,
  openPath: (path: string) => Promise<OpenedSource>,
): Promise<OpenedSource> {
  if (typeof source === 'string') {
    return openPath(source);
  }
  if (source instanceof Blob) {
    return {
      kind: 'seekable',
      size: source.size,
      open: (offset) => blobParts(source, offset),
      close: nothingToClose,
    };
  }
  if (source instanceof ReadableStream) {
    return streamOf(streamParts(source));
  }
  if (Symbol.asyncIterator in source) {
    return streamOf(source);
  }
  // Streams of Node's files have an open() of their own, and are iterated above.
  if ('open' in source) {
    return {
      kind: 'seekable',
      size: source.size,
      open: (offset, signal) => source.open(offset, signal),
      close: nothingToClose,
    };
  }
  if (Symbol.iterator in source) {
    return streamOf(iterableParts(source));
  }
  throw new DarkroomError(
    'OPTION_INVALID',
    'The source must be a path, a Blob, a stream, an iterable of bytes, or an object with open().',
  );
}

function streamOf(parts: AsyncIterable<SourcePart>): OpenedSource {
  return { kind: 'stream', parts, close: nothingToClose };
}

/** So much of a Blob is read at once. */
const blobReadBytes = 4 * 1024 * 1024;

async function* blobParts(blob: Blob, from: number): AsyncIterable<SourcePart> {
  for (let offset = from; offset < blob.size; offset += blobReadBytes) {
    const part = blob.slice(offset, Math.min(blob.size, offset + blobReadBytes));
    yield new Uint8Array(await part.arrayBuffer());
  }
}

// Not every browser's streams can be iterated.
async function* streamParts(stream: ReadableStream<Uint8Array>): AsyncIterable<SourcePart> {
  const reader = stream.getReader();
  let isDone = false;
  try {
    for (;;) {
      const next = await reader.read();
      if (next.done) {
        isDone = true;
        return;
      }
      yield next.value;
    }
  } finally {
    if (!isDone) {
      await reader.cancel().catch(() => undefined);
    }
  }
}

async function* iterableParts(parts: Iterable<SourcePart>): AsyncIterable<SourcePart> {
  yield* parts;
}
