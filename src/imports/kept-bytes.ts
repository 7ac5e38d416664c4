import { PassThrough, type Readable } from 'node:stream';

/** Held for a reader that is busy, so that nothing which came is lost with the connection. */
const heldBytes = 256 * 1024;

/**
 * The bytes of a stream, all those that came before it broke too, and only then why it broke. A stream that
 * is read directly drops at its error what nobody has taken yet, and whoever goes on where a source broke
 * off would never get further, if it always does so soon.
 */
export function keptBytes(stream: Readable): AsyncIterator<Buffer, undefined> {
  const kept = new PassThrough({ highWaterMark: heldBytes });
  let failure: Error | undefined;
  stream.once('error', (error) => {
    failure = error;
  });
  stream.once('close', () => {
    if (!stream.readableEnded) {
      failure ??= new Error('the stream was closed before its end');
      kept.end();
    }
  });
  const chunks = stream.pipe(kept)[Symbol.asyncIterator]() as AsyncIterator<Buffer, undefined>;
  return {
    async next() {
      const chunk = await chunks.next();
      if (chunk.done === true && failure) {
        throw failure;
      }
      return chunk;
    },
  };
}
