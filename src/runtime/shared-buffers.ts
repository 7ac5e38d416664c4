/**
 * Memory for the bytes of uploads that is used again and again. A buffer is read by other threads beside the event
 * loop, so it is neither copied for them nor moved to them, and it comes back when the last of them is done.
 *
 * A fresh buffer of 1 MiB is memory that the kernel gives page by page as it is written: filling fresh ones took 0.37 s
 * a GiB, filling used ones 0.05 (bench of 64 KiB pieces copied into 1 MiB).
 */

/** The smallest buffer. What is much smaller shares a page with others, and is copied. */
const leastBytes = 64 * 1024;
/** What stands around a chunk in its message: chunks are powers of two, and their buffers have room for both. */
const slackBytes = 4096;
/**
 * Most that is kept, in use or not: two chunks of 1 MiB for each of 16 streams. Who comes when all is in use gets
 * memory of the ordinary kind, so that slow senders slow nobody down.
 */
const mostBytes = 32 * 1024 * 1024;

/** Buffers that nobody uses, by their size; those used last are last, since they are still in the processor's caches. */
const idle = new Map<number, SharedArrayBuffer[]>();
/** Buffers that somebody uses. What is never given back goes with the garbage. */
const lent = new WeakSet<SharedArrayBuffer>();
/** Bytes of all buffers that are there. */
let keptBytes = 0;
const gone = new FinalizationRegistry<number>((bytes) => {
  keptBytes -= bytes;
});

/**
 * A buffer with any content, used before or fresh, from this memory if there is room and else of the ordinary kind. Whoever
 * has it last may give it back, by `giveBack`.
 */
export function takeBuffer(bytes: number): Uint8Array {
  const size = sizeFor(bytes);
  const used = bytes < leastBytes / 2 ? undefined : idle.get(size)?.pop();
  if (used !== undefined) {
    lent.add(used);
    return new Uint8Array(used, 0, bytes);
  }
  if (bytes < leastBytes / 2 || !hasRoom(size)) {
    return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer);
  }
  const fresh = new SharedArrayBuffer(size);
  keptBytes += size;
  gone.register(fresh, size);
  lent.add(fresh);
  return new Uint8Array(fresh, 0, bytes);
}

/**
 * Says that nobody uses a buffer of `takeBuffer` any more, of which `data` is any part: neither a thread nor a write
 * that is still under way. Other buffers are left alone.
 */
export function giveBack(data: Uint8Array): void {
  const { buffer } = data;
  if (buffer instanceof SharedArrayBuffer && lent.delete(buffer)) {
    const others = idle.get(buffer.byteLength);
    if (others === undefined) {
      idle.set(buffer.byteLength, [buffer]);
    } else {
      others.push(buffer);
    }
  }
}

/**
 * Copies the bytes of `source` from `start` to `end` into `target`, at `targetStart`.
 *
 * `TypedArray.set` goes byte by byte where shared memory is not aligned as its source is: 0.52 s a GiB, in place of 0.03
 * by Node's own copy; which calls `set` itself where all of a source is asked for.
 */
export function copyBytes(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  targetStart: number,
): void {
  if (end > start) {
    const last = end - 1;
    Buffer.prototype.copy.call(source, target, targetStart, start, last);
    target[targetStart + last - start] = source[last] ?? 0;
  }
}

function sizeFor(bytes: number): number {
  let size = leastBytes;
  while (size + slackBytes < bytes) {
    size *= 2;
  }
  return size + slackBytes;
}

/** Idle buffers of other sizes are let go, so that the memory is had by the sizes that are asked for. */
function hasRoom(size: number): boolean {
  if (keptBytes + size > mostBytes) {
    idle.clear();
  }
  return keptBytes + size <= mostBytes;
}
